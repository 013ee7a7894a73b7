//! The tables of a delivery as the service has them: found or created, given the columns that rows need, and which column
//! of the source fills which of theirs. Asked by those who encode, who may block.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::client::table::Table;
use super::client::{Client, ClientError};
use super::config::{MaxComputeConfig, OnTypeChange};
use super::ddl;
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::failure::{Class, Failure};
use crate::format::maxcompute::columns::{ADDITIONAL, LEVELS, Naming};
use crate::format::maxcompute::data_type::DataType;
use crate::format::maxcompute::layout::{Layout, LayoutFault, TableColumn};
use crate::format::maxcompute::mapping::{data_type, form};
use crate::format::maxcompute::name::{COLUMNS_MAX, NameFault, table_name};
use crate::sink::{Origin, Refusal, SinkError};

/// How long a statement may take.
const STATEMENT_MAX: Duration = Duration::from_secs(300);
/// Names that a column of changing types is looked for under: its own, and `__v2` to this.
const VERSIONS_MAX: usize = 100;

/// What rows of a table are written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Every change, in the order of the log.
    Log,
    /// The rows of the initial copy.
    Base,
}

/// Where rows of one plan go, and how they lie there.
#[derive(Debug)]
pub struct Destination {
    /// Which column fills which.
    pub layout: Layout,
    /// The table there, for records.
    pub origin: Arc<Origin>,
}

/// A table there, as it was found last.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What it is filled from.
    pub source: TableName,
    /// What it holds.
    pub kind: Kind,
    /// Its columns. They only ever become more, at the end.
    pub columns: Vec<TableColumn>,
}

/// Why rows cannot be written.
#[derive(Debug, Clone)]
pub enum TablesError {
    /// This table's cannot: it parks.
    Table(String),
    /// The service does not answer, or refuses us altogether.
    Service(SinkError),
}

/// See the module. One for each life of a delivery, shared by all who encode and by the sink.
#[derive(Debug)]
pub struct Tables {
    client: Client,
    config: Arc<MaxComputeConfig>,
    /// By name there.
    shapes: Mutex<HashMap<String, Shape>>,
    /// One for each, held while the service is asked about its table.
    asking: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Tables {
    /// None is known yet.
    pub fn new(client: Client, config: Arc<MaxComputeConfig>) -> Self {
        Self { client, config, shapes: Mutex::default(), asking: Mutex::default() }
    }

    /// The settings.
    pub fn config(&self) -> &Arc<MaxComputeConfig> {
        &self.config
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A table as it was found last, by its name there. Never waits for the service.
    pub fn shape(&self, name: &str) -> Option<Shape> {
        self.shapes().get(name).cloned()
    }

    fn shapes(&self) -> MutexGuard<'_, HashMap<String, Shape>> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where rows of this plan go. Creates the table, and adds columns, where that is allowed.
    ///
    /// # Errors
    /// See [`TablesError`].
    pub fn destination(&self, plan: &TablePlan, kind: Kind) -> Result<Destination, TablesError> {
        let suffix = match kind {
            Kind::Log => &self.config.log_suffix,
            Kind::Base => &self.config.base_suffix,
        };
        let name = format!("{}{suffix}", plan.name.table);
        let name = table_name(&name).map_err(|fault| fault_of_table(&fault))?.to_lowercase();
        let asking = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(asking.entry(name.clone()).or_default())
        };
        let _asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.shape(&name);
        if let Some(Shape { source, .. }) = known.as_ref().filter(|shape| shape.source != plan.source) {
            let reason =
                format!("the table {name} is filled from {source} already: map one of the two to another name");
            return Err(TablesError::Table(reason));
        }
        let found = self.columns(&name, plan, kind, known);
        // After a failure the table is looked at anew.
        let (columns, names) = found.inspect_err(|_| drop(self.shapes().remove(&name)))?;
        let shape = Shape { source: plan.source.clone(), kind, columns: columns.clone() };
        self.shapes().insert(name.clone(), shape);
        let layout = Layout::filled(&plan.columns, &names, &columns, self.naming(kind));
        let layout = layout.map_err(|fault| TablesError::Table(format!("{name}: {fault}")))?;
        Ok(Destination { layout, origin: Arc::new(Origin::new(plan.source.to_string(), name)) })
    }

    fn naming(&self, kind: Kind) -> Option<Naming> {
        (kind == Kind::Log).then_some(self.config.naming)
    }

    /// The columns of a table that has all that rows of this plan need, and the names under which they lie there.
    fn columns(
        &self,
        name: &str,
        plan: &TablePlan,
        kind: Kind,
        known: Option<Shape>,
    ) -> Result<(Vec<TableColumn>, Filled), TablesError> {
        let columns = match known {
            Some(shape) => shape.columns,
            None => self.find_or_create(name, plan, kind)?,
        };
        let names = self.names(plan, self.naming(kind), &columns)?;
        if names.missing.is_empty() {
            return Ok((columns, names.filled));
        }
        self.add_columns(name, &names.missing, columns.len())?;
        let gone = || TablesError::Table(format!("the table {name} is gone"));
        let columns = self.find(name, kind)?.ok_or_else(gone)?;
        let names = self.names(plan, self.naming(kind), &columns)?;
        Ok((columns, names.filled))
    }

    fn find_or_create(&self, name: &str, plan: &TablePlan, kind: Kind) -> Result<Vec<TableColumn>, TablesError> {
        if let Some(columns) = self.find(name, kind)? {
            return Ok(columns);
        }
        if !self.config.create_tables {
            return Err(TablesError::Table(format!("there is no table {name}, and create_tables is false")));
        }
        let naming = self.naming(kind);
        let mut columns = additional(naming);
        let names = self.names(plan, naming, &columns)?;
        columns.extend(names.missing);
        let (partitions, lifecycle) = match kind {
            Kind::Log => (self.partitions(), self.config.lifecycle_days),
            Kind::Base => (Vec::new(), None),
        };
        check_count(columns.len() + partitions.len())?;
        let comment = match kind {
            Kind::Log => format!("changes of {}", plan.source),
            Kind::Base => format!("rows of {} before its changes", plan.source),
        };
        let table = ddl::table(&self.client, name);
        self.run(&ddl::create(&table, &columns, &partitions, lifecycle, &comment))?;
        tracing::info!(table = %plan.source, created = name, "table created in MaxCompute");
        match self.find(name, kind)? {
            Some(columns) => Ok(columns),
            None => Err(TablesError::Service(SinkError::transient(format!(
                "the table {name} was created and is not there yet"
            )))),
        }
    }

    fn find(&self, name: &str, kind: Kind) -> Result<Option<Vec<TableColumn>>, TablesError> {
        let Some(Table { columns, partitions, is_view, .. }) = self.client.table(name).map_err(failed)? else {
            return Ok(None);
        };
        if is_view {
            return Err(TablesError::Table(format!("{name} is a view, which takes no rows")));
        }
        let expected = match kind {
            Kind::Log => self.partitions(),
            Kind::Base => Vec::new(),
        };
        let same = partitions.len() == expected.len()
            && partitions
                .iter()
                .zip(&expected)
                .all(|(one, other)| one.name.eq_ignore_ascii_case(&other.name) && one.kind == other.kind);
        if !same {
            let names = |columns: &[TableColumn]| {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            };
            let reason = format!(
                "the table {name} has the partitions {}, the settings ask for {}",
                names(&partitions),
                names(&expected)
            );
            return Err(TablesError::Table(reason));
        }
        Ok(Some(columns))
    }

    fn add_columns(&self, name: &str, missing: &[TableColumn], there: usize) -> Result<(), TablesError> {
        let list = || missing.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        if !self.config.create_tables {
            let reason = format!("the table {name} has no column {}, and create_tables is false", list());
            return Err(TablesError::Table(reason));
        }
        check_count(there + missing.len())?;
        self.run(&ddl::add_columns(&ddl::table(&self.client, name), missing))?;
        tracing::info!(table = name, columns = list(), "columns added in MaxCompute");
        Ok(())
    }

    fn run(&self, statement: &str) -> Result<(), TablesError> {
        let id = format!("relay-{:032x}", rand::random::<u128>());
        self.client.run_sql(statement, &id, STATEMENT_MAX).map(drop).map_err(failed)
    }

    fn partitions(&self) -> Vec<TableColumn> {
        let levels = &LEVELS[..self.config.partitions.len()];
        let column = |level| TableColumn { name: self.config.naming.partition(level), kind: DataType::String };
        levels.iter().copied().map(column).collect()
    }

    /// Under which names the columns of the source lie in a table with these columns, and which of them it lacks.
    fn names(&self, plan: &TablePlan, naming: Option<Naming>, there: &[TableColumn]) -> Result<Names, TablesError> {
        let plain = Layout::names(&plan.columns, false, naming).map_err(|fault| fault_of_table(&fault))?;
        let mut names = Names::default();
        for (from, name) in &plain {
            let column = &plan.columns[*from];
            let find = |name: &str| there.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let fits = |there: &TableColumn| form(column.kind, &there.kind).is_some();
            let versions = (2..=VERSIONS_MAX).map(|version| format!("{name}__v{version}"));
            let mut refused = None;
            let mut found = None;
            // A name that another column of the source has is that column's.
            let is_taken = |candidate: &String| {
                candidate != name && plain.iter().any(|(_, other)| other.eq_ignore_ascii_case(candidate))
            };
            let candidates = std::iter::once(name.clone()).chain(versions).filter(|candidate| !is_taken(candidate));
            for candidate in candidates {
                match find(&candidate) {
                    Some(there) if !fits(there) && self.config.on_type_change != OnTypeChange::Fail => {
                        refused = Some(there);
                    }
                    // One that does not fit and may not be replaced is told by the layout.
                    Some(_) => {
                        found = Some((candidate, None));
                        break;
                    }
                    None => {
                        let kind = match (refused, self.config.on_type_change) {
                            (Some(_), OnTypeChange::String) => DataType::String,
                            _ => data_type(column.kind, self.config.types, self.config.maxcompute_json),
                        };
                        found = Some((candidate, Some(kind)));
                        break;
                    }
                }
            }
            let Some((name, missing)) = found else {
                return Err(TablesError::Table(format!("column {name} changed its type too often")));
            };
            names.missing.extend(missing.map(|kind| TableColumn { name: name.clone(), kind }));
            names.filled.push((*from, name));
        }
        Ok(names)
    }
}

/// Places in the source, and names there.
type Filled = Vec<(usize, String)>;

#[derive(Debug, Default)]
struct Names {
    filled: Filled,
    missing: Vec<TableColumn>,
}

fn additional(naming: Option<Naming>) -> Vec<TableColumn> {
    let column = |naming: Naming| {
        ADDITIONAL.map(|column| TableColumn { name: naming.additional(column), kind: column.data_type() })
    };
    naming.map_or(Vec::new(), |naming| column(naming).into())
}

fn check_count(columns: usize) -> Result<(), TablesError> {
    match columns {
        0..=COLUMNS_MAX => Ok(()),
        _ => Err(fault_of_table(&NameFault::Columns { columns })),
    }
}

fn fault_of_table(fault: &NameFault) -> TablesError {
    TablesError::Table(LayoutFault::Name(fault.clone()).to_string())
}

/// A statement that fails is about its table; anything else is about the service.
fn failed(error: ClientError) -> TablesError {
    match &error {
        ClientError::Job { .. } if error.class() != Class::Transient => TablesError::Table(error.to_string()),
        _ => TablesError::Service(sink_error(&error)),
    }
}

/// What a call's failure means for the delivery.
pub fn sink_error(error: &ClientError) -> SinkError {
    use super::client::error::Reason;
    let mapped = match error.class() {
        Class::Transient => SinkError::transient(error.to_string()),
        _ => SinkError::definite(error.to_string()),
    };
    let mapped = match error.next_step() {
        Some(next_step) => mapped.advise(next_step),
        None => mapped,
    };
    match error.reason() {
        Some(Reason::Unauthorized | Reason::Expired) => mapped.refused(Refusal::Login),
        Some(Reason::Forbidden) => mapped.refused(Refusal::Access),
        _ if matches!(error, ClientError::Certificate { .. }) => mapped.refused(Refusal::Certificate),
        _ => mapped,
    }
}
