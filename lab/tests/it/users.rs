//! The programs' users in MySQL as `lab/run` has them: made on servers of this project, left alone on others, missed on an old volume.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const OWN: &str = "mysql://shop:shop@127.0.0.1:43306/shop";
const GIVEN: &str = "mysql://ann:hush@db.example/shop";

/// State and programs of one test, gone with it.
struct State(PathBuf);

impl State {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("users-{test}-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("debug")).expect("a temporary directory");
        let state = Self(directory);
        state.program("debug/api", r#"echo "api $*""#);
        state
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    /// A program that answers as a script does.
    fn program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\n{script}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.0.join(name), mode).expect("it is ours");
    }

    /// A script of the lab, on the server of this address, with the test's own programs before others.
    fn script(&self, script: &str, dsn: &str) -> Command {
        let path = [self.0.join("debug"), "/usr/bin".into(), "/bin".into()];
        let mut command = Command::new(lab().join(script));
        command
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("SHOP_STATE", &self.0)
            .env("SHOP_CACHE", &self.0)
            .env("CARGO_TARGET_DIR", &self.0)
            .env("MYSQL_DSN", dsn)
            .env("KAFKA_BROKERS", "127.0.0.1:49092")
            .env("MONGO_URI", "mongodb://127.0.0.1:47017/shop")
            .env("SHOP_MYSQL_PORT", "43306")
            .env("SHOP_KAFKA_PORT", "49092")
            .env("SHOP_MONGO_PORT", "47017");
        command
    }

    /// A function of the engines' scripts.
    fn in_engines(&self, parts: &[&str], function: &str) -> Output {
        let sources = parts.iter().map(|part| format!("source ./{part}.sh; "));
        let script = sources.collect::<String>() + function;
        let mut command = self.script("/bin/bash", OWN);
        command.current_dir(lab().join("engines"));
        let output = command.args(["-euc", &script]).output();
        output.expect("bash starts")
    }

    /// What a script says when all goes well.
    fn says(&self, script: &str, arguments: &[&str], dsn: &str) -> String {
        let output = self.script(script, dsn).args(arguments).output();
        let output = output.expect("the script starts");
        assert!(output.status.success(), "{script}: {output:?}");
        said(output)
    }
}

fn said(output: Output) -> String {
    String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn lab() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn users_of_a_server_that_was_given_are_left_alone() {
    let state = State::new("given");
    let said = state.says("run/run", &["migrate"], GIVEN);
    assert!(said.contains("api migrate\n"), "{said}");
    assert!(said.contains("users are left alone"), "{said}");
    assert_eq!(state.read("mysql-passwords"), None);
}

#[test]
fn a_server_of_ours_gets_users_with_passwords_that_nobody_else_has() {
    let state = State::new("own");
    state.write("mode", "native\n");
    let said = state.says("run/run", &["migrate"], OWN);
    assert!(said.contains("api migrate --grants --passwords "), "{said}");
    let passwords = state.read("mysql-passwords").expect("they are made up");
    assert_eq!(passwords.lines().count(), 6);
    assert!(passwords.lines().all(|line| line.len() > 32), "{passwords}");
    state.says("run/run", &["migrate"], OWN);
    assert_eq!(state.read("mysql-passwords"), Some(passwords), "once");
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_changed() {
    let state = State::new("port");
    state.program("debug/make", "");
    let parts = ["settings", "tools", "golang"];
    let supervisor = said(state.in_engines(&parts, "go_program process-compose"));
    std::fs::create_dir_all(state.0.join("bin")).expect("a directory");
    state.program(&supervisor, "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let mut run = state.script("run/run", OWN);
    run.args(["--with-engines", "api"])
        .env("SHOP_API_PORT", &port);
    let said = said(run.output().expect("the script starts"));
    assert!(
        said.contains(&format!("port {port} for api is taken")),
        "{said}"
    );
    assert!(!said.contains("migrat"), "{said}");
    assert_eq!(state.read("mysql-passwords"), None);
}

/// Its server may be the one of `docker compose up`, whose programs go on logging in with what the file says.
#[test]
fn on_docker_the_passwords_are_those_of_the_compose_file() {
    let state = State::new("docker");
    state.write("mode", "docker\n");
    state.write("mysql-passwords", "api of-native-engines\n");
    state.says("run/run", &["migrate"], OWN);
    let passwords = state.read("mysql-passwords.docker").expect("a file");
    let compose = std::fs::read_to_string(lab().join("../docker-compose.yml"));
    let compose: Vec<String> = compose
        .expect("the compose file")
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    let first = compose.iter().position(|line| line == "api shop");
    let first = first.expect("the programs' passwords");
    let named: Vec<&String> = compose[first..].iter().take(6).collect();
    let passwords: Vec<&str> = passwords.lines().collect();
    assert_eq!(passwords, named);
}

#[test]
fn a_command_runs_as_a_user_of_ours_or_as_the_caller_said() {
    let state = State::new("as");
    let dsn = |dsn: &str| state.says("run/as", &["ops", "printenv", "MYSQL_DSN"], dsn);
    assert_eq!(dsn(OWN).trim_end(), OWN, "no user is made yet");
    state.write("mysql-passwords", "api a\nops o\n");
    let of_ops = "mysql://shop_ops:o@127.0.0.1:43306/shop";
    assert_eq!(dsn(OWN).trim_end(), of_ops);
    assert_eq!(dsn(GIVEN).trim_end(), GIVEN);
    // Docker's server does not know what the native one was told.
    state.write("mode", "docker\n");
    assert_eq!(dsn(OWN).trim_end(), OWN);
}

/// What starting the servers says when MySQL lets these users in, and answers the operator so.
fn docker_says(test: &str, users: &str, grants: &str, tables: &str) -> String {
    let state = State::new(test);
    state.program(
        "debug/docker",
        &format!(
            r#"case "$*" in
            "compose exec"*"--user=shop "*"SHOW GRANTS"*) echo "{grants}" ;;
            "compose exec"*"--user=shop "*COUNT*) echo {tables} ;;
            "compose exec"*) case "$*" in {users}) ;; *) exit 1 ;; esac ;;
            esac"#
        ),
    );
    let output = state.in_engines(&["settings", "tools", "docker"], "docker_up");
    assert!(output.status.success(), "{output:?}");
    said(output)
}

#[test]
fn a_volume_of_docker_that_knows_no_users_is_told_with_what_helps() {
    let may = "GRANT CREATE USER ON *.* TO shop";
    let may_not = "GRANT ALL PRIVILEGES ON shop.* TO shop";
    let said = docker_says("known", "*--user=shop_api*", may, "15");
    assert_eq!(said, "");
    let said = docker_says("fresh", "nobody", may, "0");
    assert_eq!(said, "", "whoever migrates makes them");
    let said = docker_says("unknown", "nobody", may, "15");
    assert!(said.contains("make migrate"), "{said}");
    let said = docker_says("old", "nobody", may_not, "15");
    assert!(said.contains("docker compose down --volumes"), "{said}");
    assert!(said.contains("deletes"), "{said}");
}
