//! Statements about accounts: they name no table, and hold what nobody is to read.

use super::columns::Flavour;
use super::lines::Lines;
use crate::support::fresh;
use crate::support::servers::shared;
use crate::support::sql::Session;

/// They came as statements of the schema that their session was in, with the password's hash.
#[test]
fn a_statement_about_accounts_is_neither_logged_nor_delivered() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    let all = [
        (servers.mysql97(), Flavour::MySql97),
        (servers.mysql56(), Flavour::MySql56),
        (servers.mariadb(), Flavour::MariaDb),
    ];
    for (server, flavour) in all {
        let mut lines = Lines::new(std::slice::from_ref(&server), flavour, "accounts", "");
        lines.daemon.start();
        let mut root = Session::open(&server);
        root.run(&format!("USE {}", lines.database));
        let user: String = fresh("acc").chars().take(16).collect();
        let password = if flavour == Flavour::MySql97 { "'canary-2'" } else { "PASSWORD('canary-2')" };
        root.run_all(&[
            &format!("CREATE USER {user} IDENTIFIED BY 'canary'"),
            &format!("GRANT SELECT ON {}.* TO {user}", lines.database),
            &format!("GRANT SELECT ON barrier TO {user}"),
            &format!("SET PASSWORD FOR {user} = {password}"),
            &format!("REVOKE SELECT ON barrier FROM {user}"),
            &format!("DROP USER {user}"),
        ]);
        let (_, contents) = lines.check(&[]);
        let text = lines.text();
        assert_eq!(contents.transactions.len(), 1, "{}: the barrier's row alone is in the log", server.name);
        for word in ["USER", "GRANT", "REVOKE", "PASSWORD"] {
            assert!(!text.contains(word), "{}: {text}", server.name);
        }
    }
}
