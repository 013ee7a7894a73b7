//! Which changes of the log a delivery carries, and under which names. Decided once for each plan.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::change::Op;
use crate::change::ddl;
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::config::objects::{CasePolicy, DdlOp, DmlOp, NameMap, Objects, TableRule};
use crate::config::{Delivery, SinkConfig};
use crate::selection::TablePatterns;
use crate::sink::kafka::expand;

/// What a delivery selects, and what it makes of it.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Its tables.
    pub tables: TablePatterns,
    /// Operations and names.
    pub objects: Objects,
}

/// A table that cannot be delivered under the names it is to have. Definite: it parks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameClash {
    /// Two columns would have one name.
    #[error("columns {first} and {second} of {table} would both be named {name}: change map.columns or case_policy")]
    Columns {
        /// The table.
        table: TableName,
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The name.
        name: String,
    },
    /// A key column would be missing.
    #[error("column {column} is in the key of {table}, so map.drop_columns cannot leave it out")]
    KeyDropped {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
}

/// What is done with the rows of one plan.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The plan as the log gives it.
    pub(super) source: u64,
    /// The plan as it is delivered.
    pub(crate) plan: Arc<TablePlan>,
    carried: [bool; 3],
}

impl Lane {
    /// Whether row changes of this kind are carried.
    pub(super) fn carries(&self, op: Op) -> bool {
        self.carried[op as usize]
    }
}

impl Selection {
    /// What a delivery selects.
    pub fn of(delivery: &Delivery) -> Self {
        let mut objects = delivery.objects.clone();
        // As is usual there: names of tables and columns do not tell case apart, and are kept in lower case.
        if matches!(delivery.kind, SinkConfig::MaxCompute(_)) && objects.case_policy == CasePolicy::Default {
            objects.case_policy = CasePolicy::Lower;
        }
        Self { tables: delivery.tables.clone(), objects }
    }

    /// The name that a table is delivered under.
    pub fn delivered_name(&self, table: &TableName) -> TableName {
        let rule = self.objects.rule(&table.database, &table.table);
        self.name(&table.database, &table.table, self.map(rule))
    }

    /// Whether the delivery is about this table.
    pub(crate) fn wants(&self, table: &TableName) -> bool {
        self.tables.matches(&table.database, &table.table)
    }

    /// What is done with the rows of a plan.
    ///
    /// # Errors
    /// Names that cannot be.
    pub(crate) fn lane(&self, plan: &Arc<TablePlan>) -> Result<Lane, NameClash> {
        let name = &plan.source;
        let rule = self.objects.rule(&name.database, &name.table);
        let carried = rule.and_then(|rule| rule.dml_op.as_ref()).unwrap_or(&self.objects.dml_op);
        let carried = [DmlOp::Insert, DmlOp::Update, DmlOp::Delete].map(|op| carried.contains(&op));
        Ok(Lane { source: plan.id, plan: self.named(plan, self.map(rule))?, carried })
    }

    /// The names that a statement about this object is told under; none when it is not carried.
    pub(super) fn statement(&self, item: &ddl::Item) -> Option<TableName> {
        if !self.tables.matches(&item.database, &item.table) {
            return None;
        }
        let rule = self.objects.rule(&item.database, &item.table);
        let carried = rule.and_then(|rule| rule.ddl_op.as_ref()).unwrap_or(&self.objects.ddl_op);
        carried.contains(&word(item.kind)).then(|| self.name(&item.database, &item.table, self.map(rule)))
    }

    fn map<'a>(&'a self, rule: Option<&'a TableRule>) -> &'a NameMap {
        rule.and_then(|rule| rule.map.as_ref()).unwrap_or(&self.objects.map)
    }

    fn name(&self, database: &str, table: &str, map: &NameMap) -> TableName {
        let part = |template: &Option<String>, own: &str| match template {
            // A statement without a table stays without.
            Some(template) if !own.is_empty() => expand(template, database, table),
            _ => self.cased(own),
        };
        TableName::new(part(&map.database, database), part(&map.table, table))
    }

    fn cased(&self, name: &str) -> String {
        match self.objects.case_policy {
            CasePolicy::Default | CasePolicy::Source => name.to_owned(),
            CasePolicy::Upper => name.to_uppercase(),
            CasePolicy::Lower => name.to_lowercase(),
        }
    }

    fn named(&self, plan: &Arc<TablePlan>, map: &NameMap) -> Result<Arc<TablePlan>, NameClash> {
        // A script that named its table has the say.
        let name = match plan.name == plan.source {
            true => self.name(&plan.source.database, &plan.source.table, map),
            false => plan.name.clone(),
        };
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let mapped = |column: &str| {
            let found = map.columns.iter().find(|(from, _)| same(from, column));
            found.map_or_else(|| self.cased(column), |(_, to)| to.clone())
        };
        let names: Vec<String> = plan.columns.iter().map(|column| mapped(&column.name)).collect();
        let dropped = |column: &str| map.drop_columns.iter().any(|name| same(name, column));
        let kept = |&(at, _): &(usize, &String)| !dropped(&plan.columns[at].name);
        let mut taken = HashMap::with_capacity(names.len());
        for (at, name) in names.iter().enumerate().filter(kept) {
            if let Some(other) = taken.insert(name, at) {
                return Err(NameClash::Columns {
                    table: plan.source.clone(),
                    first: plan.columns[other].name.to_string(),
                    second: plan.columns[at].name.to_string(),
                    name: name.clone(),
                });
            }
        }
        if let Some(column) = plan.key.iter().map(|&at| &plan.columns[at]).find(|column| dropped(&column.name)) {
            return Err(NameClash::KeyDropped { table: plan.source.clone(), column: column.name.to_string() });
        }
        let unchanged = name == plan.name
            && plan.columns.iter().zip(&names).all(|(column, name)| *column.name == **name && !dropped(&column.name));
        if unchanged {
            return Ok(Arc::clone(plan));
        }
        Ok(plan.derive(|plan| {
            plan.name = name;
            for (column, name) in plan.columns.iter_mut().zip(names) {
                column.dropped = dropped(&column.name);
                column.name = name.into();
            }
        }))
    }
}

fn word(kind: ddl::Kind) -> DdlOp {
    match kind {
        ddl::Kind::Create => DdlOp::CreateTable,
        ddl::Kind::Alter => DdlOp::AlterTable,
        ddl::Kind::Rename => DdlOp::RenameTable,
        ddl::Kind::CreateIndex => DdlOp::CreateIndex,
        ddl::Kind::DropIndex => DdlOp::DropIndex,
        ddl::Kind::Erase => DdlOp::DropTable,
        ddl::Kind::Truncate => DdlOp::TruncateTable,
        ddl::Kind::View => DdlOp::View,
        ddl::Kind::Routine => DdlOp::Routine,
        ddl::Kind::Trigger => DdlOp::Trigger,
        ddl::Kind::Database | ddl::Kind::Query => DdlOp::Database,
    }
}
