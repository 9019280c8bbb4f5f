//! Tests of the configuration.

use super::check::is_endpoint;
use super::*;

fn agency() -> Agency {
    Agency {
        id: "vn-police".parse().unwrap(),
        party: "vn".parse().unwrap(),
        name: "EXERCISE \"Police\" of Việt Nam".to_owned(),
        party_name: None,
        endpoint: "127.0.0.1:7443".to_owned(),
        relay: true,
    }
}

const AGENCY: &str =
    "[agency]\nid = \"vn-police\"\nparty = \"vn\"\nname = \"EXERCISE\"\nendpoint = \"a.example:7443\"\nrelay = false\n";

/// Reads a file's text with an environment.
fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Error> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
    Config::load_with(dir.path(), environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

/// Reads the sound agency with more text behind it.
fn with(more: &str) -> Result<Config, Error> {
    read(&format!("{AGENCY}{more}"), &[])
}

fn key_of(result: Result<Config, Error>) -> String {
    match result.expect_err("it should be refused") {
        Error::UnknownKey { key } => format!("unknown {key}"),
        Error::Missing { key } => format!("missing {key}"),
        Error::Wrong { key, .. } => format!("wrong {key}"),
        other => other.to_string(),
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut config = Config::new(agency());
    assert_eq!(read(&config.to_toml_commented(), &[]).unwrap(), config);
    config.agency.party_name = Some("EXERCISE party".into());
    config.listen.ops = Some("[::1]:9464".parse().unwrap());
    config.store.max_bytes = Some(1 << 40);
    config.retraction = Retraction { action: RetractionAction::Keep, law: Some("Act 1, § 2".into()) };
    config.log = Log { format: LogFormat::Json, level: LogLevel::Debug };
    config.witness.enabled = false;
    assert_eq!(read(&config.to_toml_commented(), &[]).unwrap(), config);
}

#[test]
fn every_setting_stands_in_the_file_with_its_meaning() {
    let text = Config::new(agency()).to_toml_commented();
    let lines: Vec<_> = text.lines().collect();
    let mut explained = 0;
    for (i, line) in lines.iter().enumerate() {
        let is_setting = line
            .trim_start_matches("# ")
            .split_once(" =")
            .is_some_and(|(key, _)| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'));
        if is_setting || line.starts_with('[') {
            assert!(lines[i - 1].starts_with("# "), "nothing explains {line}");
            explained += usize::from(is_setting);
        }
    }
    assert_eq!(explained, settings().count(), "{text}");
    assert!(text.contains("\n# ops =\n") && text.contains("\ncount_max = 256\n"));
}

#[test]
fn defaults_then_file_then_environment() {
    let config = with("").unwrap();
    assert_eq!(config.delivery, Delivery::default());
    assert_eq!(config.agency.party_name(), "vn");
    let file = format!("{AGENCY}[delivery]\ncount_max = 100\nbytes_max = 500000\n");
    let environment = [
        ("MUFAKAT_DELIVERY__COUNT_MAX", "50"),
        ("MUFAKAT_LISTEN__PEERS", "127.0.0.1:0"),
        ("MUFAKAT_AGENCY__RELAY", "true"),
        ("MUFAKAT_LOG__FORMAT", "json"),
        // Neither is a setting.
        ("MUFAKAT_DIR", "folder"),
        ("OTHER_DELIVERY__COUNT_MAX", "7"),
    ];
    let config = read(&file, &environment).unwrap();
    assert_eq!((config.delivery.count_max, config.delivery.bytes_max), (50, 500_000));
    assert_eq!(config.listen.peers, "127.0.0.1:0".parse().unwrap());
    assert!(config.agency.relay && config.log.format == LogFormat::Json);
    // The environment is checked like the file.
    assert_eq!(key_of(read(&file, &[("MUFAKAT_DELIVERY__COUNT_MAX", "5000")])), "wrong delivery.count_max");
}

#[test]
fn unknown_settings_are_named() {
    assert_eq!(key_of(with("[delivery]\ncount_maks = 1\n")), "unknown delivery.count_maks");
    assert_eq!(key_of(with("[deliveries]\ncount_max = 1\n")), "unknown deliveries");
    assert_eq!(key_of(with("[listen]\npears = \"127.0.0.1:1\"\n")), "unknown listen.pears");
    let refused = read(AGENCY, &[("MUFAKAT_STORE__MAX_BITES", "1")]).unwrap_err();
    assert_eq!(refused, Error::UnknownKey { key: "store.max_bites".into() });
    assert!(refused.to_string().contains("MUFAKAT_STORE__MAX_BITES"), "{refused}");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_named() {
    for (name, variable) in [
        ("MUFAKAT_LOG_LEVEL", "MUFAKAT_LOG__LEVEL"),
        ("MUFAKAT_DELIVERY_COUNT_MAX", "MUFAKAT_DELIVERY__COUNT_MAX"),
        ("MUFAKAT_DESK_TIME_ZONE", "MUFAKAT_DESK__TIME_ZONE"),
    ] {
        let refused = read(AGENCY, &[(name, "x")]).unwrap_err().to_string();
        assert!(refused.starts_with(name) && refused.ends_with(variable), "{refused}");
    }
    for name in ["MUFAKAT_DIR", "MUFAKAT_LOG", "MUFAKAT_AGENCY", "MUFAKATLOG_LEVEL"] {
        assert!(read(AGENCY, &[(name, "x")]).is_ok(), "{name}");
    }
    // Every setting has such a near miss, so a section that is left out here is noticed.
    let text = Config::new(agency()).to_toml_commented();
    let keys = text.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" =")).map(|(key, _)| key);
    let keys: Vec<_> = keys.filter(|key| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')).collect();
    let all: Vec<_> = settings().collect();
    assert_eq!(all.iter().filter_map(|key| key.split('.').nth(1)).collect::<Vec<_>>(), keys);
}

#[test]
fn missing_settings_are_named() {
    assert_eq!(key_of(read("", &[])), "missing agency");
    for key in ["id", "party", "name", "endpoint", "relay"] {
        let without: String = AGENCY
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} ")))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(key_of(read(&without, &[])), format!("missing agency.{key}"));
    }
}

#[test]
fn wrong_values_are_named() {
    let cases = [
        ("[listen]\npeers = \"nowhere\"\n", "listen.peers"),
        ("[listen]\nops = \"0.0.0.0:9464\"\n", "listen.ops"),
        ("[store]\nmax_bytes = 0\n", "store.max_bytes"),
        ("[store]\nmin_free_bytes = -1\n", "store.min_free_bytes"),
        ("[delivery]\ncount_max = 0\n", "delivery.count_max"),
        ("[delivery]\ncount_max = 513\n", "delivery.count_max"),
        ("[delivery]\nbytes_max = 1000\n", "delivery.bytes_max"),
        ("[delivery]\nbytes_max = 1048577\n", "delivery.bytes_max"),
        ("[delivery]\nconnect_timeout_ms = 0\n", "delivery.connect_timeout_ms"),
        ("[delivery]\nanswer_timeout_ms = 10000\n", "delivery.answer_timeout_ms"),
        ("[limits]\npeer_requests_per_s = 0\n", "limits.peer_requests_per_s"),
        ("[limits]\npeer_burst = 0\n", "limits.peer_burst"),
        ("[limits]\nofficer_burst = 0\n", "limits.officer_burst"),
        ("[limits]\npeer_in_flight_max = 0\n", "limits.peer_in_flight_max"),
        ("[limits]\napi_body_bytes_max = 10\n", "limits.api_body_bytes_max"),
        ("[limits]\napi_attachment_bytes_max = 3000000000\n", "limits.api_attachment_bytes_max"),
        ("[limits]\napi_import_bytes_max = 1\n", "limits.api_import_bytes_max"),
        ("[keys]\nsigning_days = 0\n", "keys.signing_days"),
        ("[matching]\nepoch_days = 0\n", "matching.epoch_days"),
        ("[matching]\ngrace_days = 61\n", "matching.grace_days"),
        ("[matching]\ndelta_s = 0\n", "matching.delta_s"),
        ("[matching]\nask_window_days = 0\n", "matching.ask_window_days"),
        ("[keys]\nsealing_days = 366\n", "keys.sealing_days"),
        ("[keys]\ntls_days = 90\n", "keys.tls_days"),
        ("[retraction]\naction = \"burn\"\n", "retraction.action"),
        ("[retraction]\naction = \"keep\"\n", "retraction.law"),
        ("[retraction]\naction = \"keep\"\nlaw = \" \"\n", "retraction.law"),
        ("[retraction]\nlaw = \"Act 1\"\n", "retraction.law"),
        ("[desk]\nlisten = \"127.0.0.1:7444\"\n", "desk.origin"),
        ("[desk]\nlisten = \"0.0.0.0:7444\"\norigin = \"https://desk.example\"\n", "desk.listen"),
        ("[desk]\norigin = \"http://desk.example\"\n", "desk.origin"),
        ("[desk]\norigin = \"https://desk.example/\"\n", "desk.origin"),
        ("[desk]\norigin = \"https://desk.example:443\"\n", "desk.origin"),
        ("[desk]\ntls_certificate = \"a.pem\"\n", "desk.tls_key"),
        ("[desk]\nsession_idle_s = 1\n", "desk.session_idle_s"),
        ("[desk]\nsession_idle_s = 60\nsession_max_s = 59\n", "desk.session_max_s"),
        ("[oidc]\nissuer = \"http://id.example\"\n", "oidc.issuer"),
        ("[oidc]\nissuer = \"https://id.example\"\n", "desk.origin"),
        ("[desk]\norigin = \"https://desk.example\"\n[oidc]\nissuer = \"https://id.example\"\n", "oidc.client_id"),
        ("[log]\nlevel = \"loud\"\n", "log.level"),
        ("[witness]\nenabled = 1\n", "witness.enabled"),
    ];
    for (text, key) in cases {
        assert_eq!(key_of(with(text)), format!("wrong {key}"), "{text}");
    }
    for (from, to, key) in [
        ("\"vn-police\"", "\"VN Police\"", "agency.id"),
        ("\"vn\"", "\"v\"", "agency.party"),
        ("\"EXERCISE\"", "\" \"", "agency.name"),
        ("relay = false", "relay = false\nparty_name = \"\"", "agency.party_name"),
        ("a.example:7443", "a.example", "agency.endpoint"),
    ] {
        assert_eq!(key_of(read(&AGENCY.replacen(from, to, 1), &[])), format!("wrong {key}"));
    }
}

#[test]
fn endpoints_are_host_and_port() {
    for good in ["a:1", "node.agency.example:65535", "10.0.0.1:7443", "[::1]:7443"] {
        assert!(is_endpoint(good), "{good}");
    }
    for bad in [
        "",
        "a",
        ":1",
        "a:0",
        "a:65536",
        "a:+1",
        "a b:1",
        "::1:7443",
        "[::g]:1",
        "https://a:1",
        &format!("{}:1", "a".repeat(200)),
    ] {
        assert!(!is_endpoint(bad), "{bad}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    assert!(matches!(with("what is this"), Err(Error::NotToml { .. })));
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Config::load_with(dir.path(), []), Err(Error::Unreadable { .. })));
}
