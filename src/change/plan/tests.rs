use super::*;
use crate::binlog::event::{Checksum, Dialect};
use crate::change::binlog_rows::*;
use crate::change::charset::Charset;
use crate::log::{ColumnDefinition, KeyDefinition};

const UTF8MB4: u16 = 255;
const UTF8MB3: u16 = 33;
const GBK: u16 = 28;

fn server(version: &str) -> FormatDescription {
    FormatDescription {
        server_version: version.into(),
        created: 0,
        post_header_lengths: Vec::new(),
        checksum: Checksum::None,
        dialect: if version.contains("MariaDB") { Dialect::MariaDB } else { Dialect::MySql },
    }
}

fn plan_on(
    planner: &Planner,
    version: &str,
    columns: &[Col],
    full: bool,
    schema: Option<u64>,
) -> Result<Arc<TablePlan>, PlanFault> {
    let map = table_map(9, "shop", "t", columns, full);
    let event = Event::parse(&map, Checksum::None).expect("an event");
    planner.plan(&event, &server(version), schema).expect("a table map").map_err(|error| error.fault)
}

fn with_schema(columns: &[Col], full: bool, schema: &TableDefinition) -> Result<Arc<TablePlan>, PlanFault> {
    let planner = Planner::new();
    planner.learn(&schema.encode()).expect("a definition");
    plan_on(&planner, "9.7.4", columns, full, Some(schema.id))
}

fn declared(name: &str, column_type: &str, charset: Option<&str>) -> ColumnDefinition {
    ColumnDefinition {
        name: name.into(),
        column_type: column_type.into(),
        charset: charset.map(Into::into),
        collation: None,
        nullable: false,
        invisible: false,
        generated: false,
    }
}

fn schema(columns: Vec<ColumnDefinition>) -> TableDefinition {
    TableDefinition {
        id: 3,
        database: "shop".into(),
        table: "t".into(),
        columns,
        keys: Vec::new(),
        default_charset: None,
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    }
}

fn types(plan: &TablePlan) -> Vec<&str> {
    plan.columns.iter().map(|column| &*column.declared).collect()
}

#[test]
fn rebuilt_types_are_spelled_as_the_server_spells_them() {
    let columns = [
        int("a", 1, false),
        int("b", 3, true),
        int("c", 8, true),
        col("d", 13, &[]),
        varchar("e", 20, UTF8MB3, 3),
        Col { geometry: Some(7), ..col("f", 255, &[4]) },
    ];
    let spelled = |version| types_on(version, &columns);
    let new = ["tinyint", "int unsigned", "bigint unsigned", "year", "varchar(20)", "geomcollection"];
    let old = ["tinyint(4)", "int(10) unsigned", "bigint(20) unsigned", "year(4)", "varchar(20)", "geometrycollection"];
    assert_eq!(spelled("9.7.4"), new);
    assert_eq!(spelled("8.0.19"), new);
    assert_eq!(spelled("8.0.18"), old);
    // MariaDB lists a collation for geometries too.
    let mut columns = columns.clone();
    columns[5].collation = Some(63);
    assert_eq!(types_on("10.11.19-MariaDB-log", &columns), old);
}

fn types_on(version: &str, columns: &[Col]) -> Vec<String> {
    let plan = plan_on(&Planner::new(), version, columns, true, None).expect("a plan");
    types(&plan).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_schema_version_that_agrees_adds_declared_types_and_the_stand_in_key() {
    let columns = [int("flag", 1, false).not_null(), varchar("mail", 20, UTF8MB4, 4).not_null()];
    let mut known =
        schema(vec![declared("flag", "tinyint(1)", None), declared("mail", "varchar(20)", Some("utf8mb4"))]);
    known.keys = vec![KeyDefinition { name: "by_mail".into(), columns: vec![1] }];
    let plan = with_schema(&columns, true, &known).expect("a plan");
    assert_eq!(types(&plan), ["tinyint(1)", "varchar(20)"]);
    assert_eq!((plan.key.as_slice(), plan.schema_version), (&[1][..], Some(3)));
}

#[test]
fn unique_keys_come_primary_first_then_by_name() {
    let key = |name: &str, columns: &[u32]| KeyDefinition { name: name.into(), columns: columns.to_vec() };
    let columns = |primary: bool| {
        let id = int("id", 3, false);
        [if primary { id.key() } else { id.not_null() }, varchar("mail", 20, UTF8MB4, 4).not_null()]
    };
    let mut known = schema(vec![declared("id", "int", None), declared("mail", "varchar(20)", Some("utf8mb4"))]);
    let told = |plan: &TablePlan| {
        let keys = plan.unique_keys.iter().map(|key| format!("{} {:?}", key.name, key.columns));
        keys.collect::<Vec<_>>()
    };
    known.keys = vec![key("uk_b", &[1]), key("PRIMARY", &[0]), key("uk_a", &[1, 0]), key("broken", &[7])];
    for full in [true, false] {
        let plan = with_schema(&columns(true), full, &known).expect("a plan");
        assert_eq!(told(&plan), ["PRIMARY [0]", "uk_a [1, 0]", "uk_b [1]"], "metadata {full}");
    }
    let by_metadata = plan_on(&Planner::new(), "9.7.4", &columns(true), true, None).expect("a plan");
    assert_eq!(told(&by_metadata), ["PRIMARY [0]"]);
    assert!(plan_on(&Planner::new(), "9.7.4", &columns(false), true, None).expect("a plan").unique_keys.is_empty());
}

#[test]
fn metadata_wins_over_a_schema_version_that_disagrees() {
    let columns = [int("flag", 1, false).key(), varchar("mail", 20, UTF8MB4, 4)];
    let renamed = schema(vec![declared("flag", "tinyint(1)", None), declared("post", "varchar(20)", Some("utf8mb4"))]);
    let plan = with_schema(&columns, true, &renamed).expect("a plan");
    assert_eq!(
        (types(&plan), plan.key.as_slice(), plan.schema_version),
        (vec!["tinyint", "varchar(20)"], &[0][..], None)
    );
    let mut unconfirmed =
        schema(vec![declared("flag", "tinyint(1)", None), declared("mail", "varchar(20)", Some("utf8mb4"))]);
    unconfirmed.unconfirmed = Some("a statement did not parse".into());
    assert_eq!(types(&with_schema(&columns, true, &unconfirmed).expect("a plan"))[0], "tinyint");
}

#[test]
fn without_metadata_names_signs_charsets_and_keys_come_from_the_schema_version() {
    let columns = [int("?", 3, false), varchar("?", 20, GBK, 2), labelled("?", 247, 1, &[], GBK)];
    let mut known = schema(vec![
        declared("id", "int(10) unsigned", None),
        declared("name", "varchar(20)", Some("gbk")),
        declared("size", "enum('S','M')", Some("gbk")),
    ]);
    known.keys = vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }];
    let plan = with_schema(&columns, false, &known).expect("a plan");
    assert_eq!(plan.columns.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["id", "name", "size"]);
    assert_eq!(plan.defs[0].unsigned, Some(true));
    assert_eq!(plan.columns[1].charset, Charset::of_name("gbk").expect("known"));
    assert_eq!(plan.columns[2].labels.len(), 2);
    assert_eq!(plan.key, [0]);
}

#[test]
fn a_disagreement_without_metadata_is_named() {
    let columns = [int("?", 3, false), varchar("?", 20, UTF8MB4, 4)];
    let fault = |columns: &[Col], version| with_schema(columns, false, &version).expect_err("no plan").to_string();
    let id = || declared("id", "int", None);
    assert_eq!(fault(&columns, schema(vec![id()])), "its rows have 2 columns, schema version 3 has 1");
    assert_eq!(
        fault(&columns, schema(vec![id(), declared("mail", "varchar(30)", Some("utf8mb4"))])),
        "column mail is declared varchar(30) in schema version 3, its rows hold wire type 15 (80)"
    );
    assert_eq!(
        fault(&columns, schema(vec![id(), declared("mail", "hologram", None)])),
        "column mail has a type that is not understood: hologram"
    );
    assert_eq!(
        fault(&columns, schema(vec![id(), declared("mail", "varchar(20)", Some("klingon"))])),
        "column mail has the unknown character set \"klingon\""
    );
    let other = TableDefinition { table: "u".into(), ..schema(vec![id()]) };
    assert_eq!(fault(&columns, other), "schema version 3 describes shop.u");
    let dropped = TableDefinition { dropped: true, ..schema(vec![id()]) };
    assert_eq!(fault(&columns, dropped), "schema version 3 describes shop.t as dropped");
    let doubtful = TableDefinition { unconfirmed: Some("no parse".into()), ..schema(vec![id()]) };
    assert_eq!(fault(&columns, doubtful), "schema version 3 is not confirmed: no parse");
}

#[test]
fn no_schema_version_and_an_unknown_one_are_told_apart() {
    let columns = [int("?", 3, false)];
    assert_eq!(plan_on(&Planner::new(), "5.6.24", &columns, false, None).expect_err("no plan"), PlanFault::NoSchema);
    let missing = plan_on(&Planner::new(), "5.6.24", &columns, false, Some(8)).expect_err("no plan");
    assert_eq!(missing, PlanFault::SchemaMissing(8));
}

#[test]
fn signs_in_the_map_are_checked_and_used() {
    let columns = [int("id", 3, true)];
    let signed = schema(vec![declared("id", "int", None)]);
    let plan = with_schema(&columns, true, &signed).expect("a plan");
    assert_eq!(types(&plan), ["int unsigned"]);
}

#[test]
fn an_unknown_collation_names_its_column() {
    let columns = [varchar("mail", 20, 1999, 4)];
    let fault = plan_on(&Planner::new(), "9.7.4", &columns, true, None).expect_err("no plan");
    assert_eq!(fault.to_string(), "column mail: unknown collation id 1999");
}

#[test]
fn labels_come_in_the_columns_charset() {
    let columns = [Col { labels: vec![b"\xc4\xe3", b"b"], ..labelled("e", 247, 1, &[], GBK) }];
    let plan = plan_on(&Planner::new(), "9.7.4", &columns, true, None).expect("a plan");
    assert_eq!(types(&plan), ["enum('你','b')"]);
}

#[test]
fn old_times_of_mariadb_get_their_fraction_from_the_declared_type() {
    let columns = [col("?", 11, &[]), col("?", 12, &[]), col("?", 7, &[])];
    let known = schema(vec![
        declared("a", "time(3)", None),
        declared("b", "datetime(6)", None),
        declared("c", "timestamp(2)", None),
    ]);
    let plan = with_schema(&columns, false, &known).expect("a plan");
    assert_eq!(plan.defs.iter().map(ColumnDef::meta).collect::<Vec<_>>(), [3, 6, 2]);
}

#[test]
fn a_plan_is_made_once_and_again_when_its_schema_version_arrives() {
    let planner = Planner::new();
    let columns = [int("flag", 1, false)];
    let first = plan_on(&planner, "9.7.4", &columns, true, Some(3)).expect("a plan");
    assert_eq!(plan_on(&planner, "9.7.4", &columns, true, Some(3)).expect("a plan").id, first.id);
    planner.learn(&schema(vec![declared("flag", "tinyint(1)", None)]).encode()).expect("a definition");
    let second = plan_on(&planner, "9.7.4", &columns, true, Some(3)).expect("a plan");
    assert_eq!((types(&first), types(&second)), (vec!["tinyint"], vec!["tinyint(1)"]));
    assert_ne!(first.id, second.id);
}

#[test]
fn a_text_column_has_the_collation_of_its_map_or_of_its_schema_version() {
    let of = |plan: &TablePlan| plan.columns.iter().map(|c| c.collation.clone()).collect::<Vec<_>>();
    let columns = [int("id", 3, true), varchar("s", 10, UTF8MB4, 4), varchar("g", 10, GBK, 2)];
    let plan = plan_on(&Planner::new(), "9.7.4", &columns, true, None).expect("a plan");
    assert_eq!(of(&plan), [None, Some("utf8mb4_0900_ai_ci".into()), Some("gbk_chinese_ci".into())]);
    let mut own = declared("g", "varchar(10)", Some("gbk"));
    own.collation = Some("gbk_bin".into());
    let mut schema =
        schema(vec![declared("id", "int unsigned", None), declared("s", "varchar(10)", None), own.clone()]);
    schema.default_charset = Some("utf8".into());
    schema.default_collation = Some("utf8_bin".into());
    let columns = [int("id", 3, true), varchar("s", 10, UTF8MB3, 3), varchar("g", 10, GBK, 2)];
    let plan = with_schema(&columns, false, &schema).expect("a plan");
    assert_eq!(of(&plan), [None, Some("utf8mb3_bin".into()), Some("gbk_bin".into())]);
    // A set of the column's own, and no collation: what goes with it is not told.
    schema.columns[1] = declared("s", "varchar(10)", Some("utf8"));
    assert_eq!(of(&with_schema(&columns, false, &schema).expect("a plan"))[1], None);
}
