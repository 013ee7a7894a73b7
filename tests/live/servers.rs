//! The servers themselves: what every other test here stands on.

use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, kafka};

#[test]
fn every_server_answers_in_its_own_version() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    let version = |database| Session::open(&database).text("SELECT VERSION()");
    assert!(version(servers.mysql97()).starts_with("9."), "MySQL 9.7");
    assert!(version(servers.mysql56()).starts_with("5.6."), "MySQL 5.6");
    assert!(version(servers.mariadb()).contains("MariaDB"), "MariaDB");
}

#[test]
fn a_topic_is_made_and_read_by_clients_nobody_here_wrote() {
    let servers = shared(&["kafka"]);
    let topic = fresh("servers");
    kafka::create_topic(&servers, &topic, 2, &[]);
    assert_eq!(kafka::consume(servers.brokers(), &topic), vec![]);
}
