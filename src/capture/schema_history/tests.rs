use super::*;

fn history() -> SchemaHistory {
    SchemaHistory::load(Vec::<Vec<u8>>::new(), Dialect::default()).expect("nothing to read")
}

fn apply(history: &mut SchemaHistory, sql: &str) -> Concerns {
    history.apply(StatementContext { sql, database: "shop", charset: Some("utf8mb4"), during_reading: false })
}

/// Columns as `name type`, joined.
fn columns(history: &SchemaHistory, table: &str) -> String {
    let name = ObjectName { database: "shop".into(), table: table.into() };
    let definition = history.current.get(&name).expect("the table is known");
    assert_eq!(definition.unconfirmed, None, "{table}");
    let columns: Vec<_> = definition.columns.iter().map(|c| format!("{} {}", c.name, c.column_type)).collect();
    columns.join(", ")
}

fn keys(history: &SchemaHistory, table: &str) -> String {
    let name = ObjectName { database: "shop".into(), table: table.into() };
    let definition = history.current.get(&name).expect("the table is known");
    let text = |key: &crate::log::KeyDefinition| {
        let columns: Vec<_> = key.columns.iter().map(|at| definition.columns[*at as usize].name.as_str()).collect();
        format!("{}({})", key.name, columns.join(" "))
    };
    definition.keys.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_table_is_followed_through_its_alters() {
    let mut h = history();
    apply(
        &mut h,
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(10) UNIQUE, b text CHARACTER SET latin1, UNIQUE k (b, a))",
    );
    assert_eq!(columns(&h, "t"), "id int, a varchar(10), b text");
    assert_eq!(keys(&h, "t"), "PRIMARY(id), a(a), k(b a)");
    apply(&mut h, "ALTER TABLE t ADD c int FIRST, ADD COLUMN d bigint unsigned AFTER a, DROP INDEX k");
    assert_eq!(columns(&h, "t"), "c int, id int, a varchar(10), d bigint unsigned, b text");
    assert_eq!(keys(&h, "t"), "PRIMARY(id), a(a)");
    apply(&mut h, "ALTER TABLE t CHANGE a a2 varchar(20) AFTER b, MODIFY id bigint FIRST, RENAME COLUMN c TO e");
    assert_eq!(columns(&h, "t"), "id bigint, e int, d bigint unsigned, b text, a2 varchar(20)");
    assert_eq!(keys(&h, "t"), "PRIMARY(id), a(a2)");
    apply(&mut h, "ALTER TABLE t DROP COLUMN a2, DROP d, DROP PRIMARY KEY, ADD PRIMARY KEY (e, id)");
    assert_eq!(columns(&h, "t"), "id bigint, e int, b text");
    assert_eq!(keys(&h, "t"), "PRIMARY(e id)");
    apply(&mut h, "ALTER TABLE t CONVERT TO CHARACTER SET gbk");
    let (changed, retired) = h.take_changes();
    let last = changed.last().expect("versions");
    assert_eq!(last.columns[2].charset.as_deref(), Some("gbk"));
    assert_eq!(changed.iter().map(|d| d.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(retired, [1, 2, 3, 4]);
}

#[test]
fn columns_swap_names_in_one_statement() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (a int, b bigint)");
    apply(&mut h, "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a");
    assert_eq!(columns(&h, "t"), "b int, a bigint");
    apply(&mut h, "ALTER TABLE t ADD a char(5) FIRST, DROP COLUMN a");
    assert_eq!(columns(&h, "t"), "a char(5), b int");
}

#[test]
fn renames_carry_the_definition_also_in_a_ring() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE a (x int)");
    apply(&mut h, "CREATE TABLE b (y int)");
    let before = (h.version("shop", "a"), h.version("shop", "b"));
    apply(&mut h, "RENAME TABLE a TO tmp, b TO a, tmp TO b");
    assert_eq!((columns(&h, "a"), columns(&h, "b")), ("y int".into(), "x int".into()));
    assert!(h.version("shop", "a") > before.1 && h.version("shop", "tmp").is_none());
    let concerns = apply(&mut h, "ALTER TABLE a ADD z int, RENAME TO other.c");
    let Concerns::Tables(tables) = concerns else { panic!("{concerns:?}") };
    assert_eq!(tables.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop.a", "other.c"]);
    assert!(h.version("shop", "a").is_none() && h.version("other", "c").is_some());
}

#[test]
fn dropped_tables_and_schemas_are_gone_and_versions_say_so() {
    let mut h = history();
    for sql in ["CREATE TABLE a (x int)", "CREATE TABLE b LIKE a", "DROP TABLE a", "DROP DATABASE shop"] {
        apply(&mut h, sql);
    }
    assert!(h.version("shop", "a").is_none() && h.version("shop", "b").is_none());
    let (changed, _) = h.take_changes();
    let kinds: Vec<_> = changed.iter().map(|d| (d.table.as_str(), d.dropped)).collect();
    assert_eq!(kinds, [("a", false), ("b", false), ("a", true), ("b", true)]);
    let again = SchemaHistory::load(changed.iter().map(TableDefinition::encode), Dialect::default()).expect("ours");
    assert!(again.current.is_empty());
    assert_eq!(again.last_id, 4, "no id is given twice");
}

#[test]
fn what_does_not_parse_leaves_its_tables_unconfirmed_until_read_again() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (a int)");
    apply(&mut h, "CREATE TABLE other (a int)");
    apply(&mut h, "ALTER TABLE t ADD COLUMN");
    assert!(!h.is_confirmed("shop", "t") && h.is_confirmed("shop", "other"));
    apply(&mut h, "ALTER TABLE t ADD COLUMN c int");
    assert!(!h.is_confirmed("shop", "t"), "a later statement does not make it right");
    apply(&mut h, "ALTER TABLE other DROP COLUMN unheard_of");
    assert!(!h.is_confirmed("shop", "other"), "a statement that does not fit shows that the definition is wrong");
    let read = TableDefinition { id: 0, ..h.current[&h.name("shop", "t")].clone() };
    h.adopt(read, None);
    assert!(h.is_confirmed("shop", "t"));
    apply(&mut h, "ALTER TABLE `unclosed");
    assert!(!h.is_confirmed("shop", "t"));
}

#[test]
fn a_definition_read_ahead_of_the_stream_holds_from_that_place_on() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE source (a int, b int)");
    let read = |h: &SchemaHistory, table: &str| TableDefinition {
        table: table.into(),
        ..h.current[&h.name("shop", "source")].clone()
    };
    for table in ["t", "u"] {
        let definition = read(&h, table);
        h.adopt(definition, Some("read at mysql-bin.000009:4, ahead of the stream".into()));
    }
    assert!(!h.is_confirmed("shop", "t"));
    apply(&mut h, "ALTER TABLE t ADD b int");
    assert!(!h.is_confirmed("shop", "t"), "b is in the reading already");
    apply(&mut h, "CREATE TABLE u (z int)");
    assert_eq!(columns(&h, "u"), "z int", "made in the stream: known exactly");
    assert!(h.is_ahead());
    h.reached_reading();
    assert_eq!((columns(&h, "t"), columns(&h, "u")), ("a int, b int".into(), "z int".into()));
    apply(&mut h, "ALTER TABLE t ADD c int");
    assert_eq!(columns(&h, "t"), "a int, b int, c int");
}

#[test]
fn a_table_that_changed_while_it_was_read_is_read_again() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (a int)");
    let read = h.current[&h.name("shop", "t")].clone();
    h.adopt(read, Some("ahead".into()));
    h.apply(StatementContext { sql: "ALTER TABLE t ADD b int", database: "shop", charset: None, during_reading: true });
    h.reached_reading();
    assert!(!h.is_confirmed("shop", "t"), "whether the reading has b cannot be told");
}

#[test]
fn names_fold_where_the_server_folds_them() {
    let dialect = Dialect { fold_names: true, display_widths: true, ..Dialect::default() };
    let mut h = SchemaHistory::load(Vec::<Vec<u8>>::new(), dialect).expect("nothing to read");
    apply(&mut h, "CREATE TABLE Orders (id INT UNSIGNED)");
    apply(&mut h, "RENAME TABLE `ORDERS` TO Shop.Orders2");
    assert_eq!(columns(&h, "orders2"), "id int(10) unsigned");
    assert!(h.is_confirmed("SHOP", "Orders2"));
}

/// MariaDB's rows of a JSON column are those of a LONGTEXT: a definition that said json parked every such table.
#[test]
fn json_is_longtext_where_the_server_says_so() {
    let dialect = Dialect { display_widths: true, json_is_text: true, ..Dialect::default() };
    let mut h = SchemaHistory::load(Vec::<Vec<u8>>::new(), dialect).expect("nothing to read");
    apply(&mut h, "CREATE TABLE t (a JSON, b INT) DEFAULT CHARSET=latin1");
    apply(&mut h, "ALTER TABLE t ADD c JSON");
    assert_eq!(columns(&h, "t"), "a longtext, b int(11), c longtext");
    let table = &h.current[&h.name("shop", "t")];
    assert!(table.columns.iter().filter(|c| c.name != "b").all(|c| c.charset.as_deref() == Some("utf8mb4")));
}

#[test]
fn temporary_tables_concern_nobody() {
    let mut h = history();
    assert_eq!(apply(&mut h, "CREATE TEMPORARY TABLE t (a int)"), Concerns::Nothing);
    assert_eq!(h.version("shop", "t"), None);
    assert_eq!(apply(&mut h, "CREATE DATABASE archive"), Concerns::Database("archive".into()));
}

#[test]
fn text_columns_take_the_character_set_of_column_table_or_schema() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (a char(3), b char(3) COLLATE latin1_bin, c int, d varchar(5)) CHARSET gbk");
    apply(&mut h, "CREATE TABLE u (a char(3))");
    apply(&mut h, "CREATE TABLE v (a varchar(3), b text) CHARSET binary");
    let charsets = |table: &str| {
        let definition = &h.current[&h.name("shop", table)];
        definition.columns.iter().map(|c| c.charset.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(charsets("t"), ["gbk", "latin1", "", "gbk"]);
    assert_eq!(charsets("u"), ["utf8mb4"]);
    assert_eq!(columns(&h, "v"), "a varbinary(3), b blob");
}

/// The statements of gh-ost 1.1 for one change of `shop.t`, as a binlog has them, up to its cut-over.
const GH_OST: [&str; 6] = [
    "create /* gh-ost */ table `shop`.`_t_ghc` (\n\t\t\tid bigint unsigned auto_increment,\n\t\t\tvalue varchar(4096) not null,\n\t\t\tprimary key(id)\n\t\t) auto_increment=256",
    "create /* gh-ost */ table `shop`.`_t_gho` like `shop`.`t`",
    "alter /* gh-ost */ table `shop`.`_t_gho` add column c bigint after a, drop column b, ENGINE=InnoDB",
    "alter /* gh-ost */ table `shop`.`_t_gho` AUTO_INCREMENT=17",
    "create /* gh-ost */ table `shop`.`_t_del` (\n\t\t\tid int auto_increment primary key\n\t\t) engine=InnoDB comment='ghost-cut-over-sentry'",
    "DROP TABLE IF EXISTS `shop`.`_t_del` /* generated by server */",
];
const CUT_OVER: &str = "rename /* gh-ost */ table `shop`.`t` to `shop`.`_t_del`, `shop`.`_t_gho` to `shop`.`t`";

fn of_helpers(concerns: &Concerns) -> bool {
    matches!(concerns, Concerns::Helpers { of, .. } if of.to_string() == "shop.t")
}

#[test]
fn gh_osts_change_is_one_alter_of_the_table() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (id int PRIMARY KEY, a int, b int)");
    for sql in GH_OST {
        let concerns = apply(&mut h, sql);
        assert!(of_helpers(&concerns), "{sql}: {concerns:?}");
        assert_eq!(columns(&h, "t"), "id int, a int, b int", "{sql}");
    }
    let concerns = apply(&mut h, CUT_OVER);
    let Concerns::Swap { table, alter, .. } = concerns else { panic!("{concerns:?}") };
    assert_eq!(table.to_string(), "shop.t");
    assert_eq!(alter, "ALTER TABLE `shop`.`t` add column c bigint after a, drop column b, ENGINE=InnoDB");
    assert_eq!(columns(&h, "t"), "id int, a int, c bigint");
    for sql in
        ["drop /* gh-ost */ table if exists `shop`.`_t_ghc`", "drop /* gh-ost */ table if exists `shop`.`_t_del`"]
    {
        assert!(of_helpers(&apply(&mut h, sql)), "{sql}");
    }
    assert_eq!(h.current.len(), 1);
    h.forget_dropped();
    assert!(h.tracked.is_empty());
}

#[test]
fn pt_online_schema_changes_change_is_one_alter_of_the_table() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    apply(&mut h, "CREATE TABLE `_t_new` (other int)");
    for sql in [
        "CREATE TABLE `shop`.`__t_new` (\n  `id` int NOT NULL,\n  `a` int DEFAULT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB",
        "ALTER TABLE `shop`.`__t_new` ADD KEY k (a)",
    ] {
        assert!(of_helpers(&apply(&mut h, sql)), "{sql}");
    }
    let trigger = "CREATE DEFINER=`root`@`127.0.0.1` TRIGGER `pt_osc_shop_t_del` AFTER DELETE ON `shop`.`t` FOR EACH ROW \
                   DELETE IGNORE FROM `shop`.`__t_new` WHERE `shop`.`__t_new`.`id` <=> OLD.`id`";
    for sql in [
        trigger,
        "ANALYZE TABLE `shop`.`__t_new` /* pt-online-schema-change */",
        "DROP TRIGGER IF EXISTS `shop`.`pt_osc_shop_t_del`",
    ] {
        assert!(matches!(apply(&mut h, sql), Concerns::Helpers { .. }), "{sql}");
    }
    let concerns = apply(&mut h, "RENAME TABLE `shop`.`t` TO `shop`.`_t_old`, `shop`.`__t_new` TO `shop`.`t`");
    let Concerns::Swap { alter, .. } = concerns else { panic!("{concerns:?}") };
    assert_eq!(alter, "ALTER TABLE `shop`.`t` ADD KEY k (a)");
    assert_eq!(keys(&h, "t"), "PRIMARY(id)");
    assert!(of_helpers(&apply(&mut h, "DROP TABLE IF EXISTS `shop`.`_t_old`")));
}

#[test]
fn a_change_that_began_in_an_earlier_life_is_told_as_a_whole() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (id int PRIMARY KEY)");
    apply(&mut h, GH_OST[1]);
    apply(&mut h, "alter /* gh-ost */ table `shop`.`_t_gho` add index k (id)");
    let (changed, _) = h.take_changes();
    let kept: Vec<Vec<u8>> = changed.iter().map(|definition| h.encode(definition)).collect();
    let mut h = SchemaHistory::load(&kept, Dialect::default()).expect("our own versions");
    let Concerns::Swap { alter, .. } = apply(&mut h, CUT_OVER) else { panic!("no swap") };
    assert_eq!(alter, "ALTER TABLE `shop`.`t` add index k (id)");
    assert_eq!(columns(&h, "t"), "id int");
}

#[test]
fn a_change_whose_beginning_nobody_saw_is_a_rebuild() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (id int PRIMARY KEY)");
    apply(&mut h, GH_OST[1]);
    let Concerns::Swap { alter, .. } = apply(&mut h, CUT_OVER) else { panic!("no swap") };
    assert_eq!(alter, "ALTER TABLE `shop`.`t` FORCE");
}

#[test]
fn names_like_those_of_helpers_are_ordinary_without_their_table() {
    let mut h = history();
    assert!(matches!(apply(&mut h, "CREATE TABLE _x_new (id int)"), Concerns::Tables(_)));
    assert!(matches!(
        apply(&mut h, "CREATE TRIGGER pt_audit AFTER INSERT ON x FOR EACH ROW SET @a = 1"),
        Concerns::Database(_)
    ));
    apply(&mut h, "CREATE TABLE t (id int)");
    assert!(matches!(apply(&mut h, "RENAME TABLE t TO _t_old"), Concerns::Tables(_)), "put aside by hand");
    assert!(matches!(apply(&mut h, "RENAME TABLE _t_old TO u"), Concerns::Tables(_)));
}

#[test]
fn a_cut_over_in_two_steps_is_one_too() {
    let mut h = history();
    apply(&mut h, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    GH_OST[1..3].iter().for_each(|sql| drop(apply(&mut h, &sql.replace(", drop column b", ""))));
    assert!(matches!(apply(&mut h, "alter table `shop`.`t` rename `_t_del`"), Concerns::Tables(_)));
    let Concerns::Swap { alter, .. } = apply(&mut h, "alter table `shop`.`_t_gho` rename `t`") else {
        panic!("no swap")
    };
    assert_eq!(alter, "ALTER TABLE `shop`.`t` add column c bigint after a, ENGINE=InnoDB");
    assert_eq!(columns(&h, "t"), "id int, a int, c bigint");
}

#[test]
fn a_table_knows_the_names_that_it_had() {
    let names =
        |h: &SchemaHistory, table: &str| h.was("shop", table).iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut h = history();
    apply(&mut h, "CREATE TABLE a (id int)");
    apply(&mut h, "RENAME TABLE a TO b");
    apply(&mut h, "ALTER TABLE b RENAME c, ADD x int");
    assert_eq!(names(&h, "c"), ["shop.a", "shop.b"]);
    let (changed, _) = h.take_changes();
    let kept: Vec<Vec<u8>> = changed.iter().map(|definition| h.encode(definition)).collect();
    let mut h = SchemaHistory::load(&kept, Dialect::default()).expect("our own versions");
    assert_eq!(names(&h, "c"), ["shop.a", "shop.b"], "after a restart too");
    apply(&mut h, "RENAME TABLE c TO b");
    assert_eq!(names(&h, "b"), ["shop.a", "shop.c"]);
    (0..100).for_each(|n| {
        drop(apply(
            &mut h,
            &format!("RENAME TABLE {} TO r{n}", if n == 0 { "b".into() } else { format!("r{}", n - 1) }),
        ))
    });
    assert_eq!((names(&h, "r99").len(), names(&h, "r99")[0].as_str()), (WAS_MAX, "shop.a"));
    apply(&mut h, "CREATE TABLE a (id int)");
    assert!(names(&h, "a").is_empty());
    apply(&mut h, "DROP TABLE r99");
    apply(&mut h, "CREATE TABLE r99 (id int)");
    assert!(names(&h, "r99").is_empty(), "another table of the name");
}
