//! The agent of launchd on macOS, which starts the look by itself (`launchd.plist(5)`). Pure.

use crate::service::Failing;
use crate::service::MARK;
use crate::service::Plan;
use crate::service::ServiceError;
use crate::service::UnitFile;
use crate::service::Wanted;
use crate::service::step;

const LABEL: &str = "dev.cargo-stt.reap";

/// The agent, and how it is taken up.
pub(super) fn plan(wanted: &Wanted<'_>) -> Result<Plan, ServiceError> {
    let agents = wanted.home.join("Library/LaunchAgents");
    let path = agents.join(format!("{LABEL}.plist"));
    let domain = format!("gui/{}", wanted.uid);
    let service = format!("{domain}/{LABEL}");
    let program = escaped(wanted.program.as_str())?;
    Ok(Plan {
        start: vec![
            step(Failing::Absent, &["launchctl", "print", &domain]),
            // Only one that is not loaded can be loaded.
            step(Failing::Idle, &["launchctl", "bootout", &service]),
            step(
                Failing::Refused,
                &["launchctl", "bootstrap", &domain, path.as_str()],
            ),
        ],
        stop: vec![step(Failing::Idle, &["launchctl", "bootout", &service])],
        settle: Vec::new(),
        links: Vec::new(),
        files: vec![UnitFile {
            path,
            text: agent(&program, wanted.interval.as_secs()),
        }],
    })
}

fn agent(program: &str, seconds: u64) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- {MARK}, which replaces it. -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>{LABEL}</string>
    <key>ProgramArguments</key>
    <array>
        <string>{program}</string>
        <string>stt</string>
        <string>reap</string>
    </array>
    <key>RunAtLoad</key>
    <true/>
    <key>StartInterval</key>
    <integer>{seconds}</integer>
    <key>ProcessType</key>
    <string>Background</string>
    <key>LowPriorityIO</key>
    <true/>
    <key>Nice</key>
    <integer>10</integer>
</dict>
</plist>
"#
    )
}

/// A text as the content of an element. A reader of XML takes a lone carriage return for a newline, and most
/// other control characters can't be written at all (XML 1.0, 2.2 and 2.11).
fn escaped(text: &str) -> Result<String, ServiceError> {
    let mut written = String::new();
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '\r' => written.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                written.push(c);
            }
            _ => return Err(ServiceError::Unwritable(text.escape_debug().to_string())),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn text_of(program: &str) -> Result<String, ServiceError> {
        let wanted = Wanted {
            program: program.into(),
            interval: Duration::from_secs(90),
            config_home: "/c".into(),
            home: "/Users/me".into(),
            uid: 501,
        };
        plan(&wanted).map(|plan| plan.files[0].text.clone())
    }

    /// The arguments of the program, as a reader of XML sees them.
    fn arguments(text: &str) -> Vec<String> {
        let array = text.split("<array>").nth(1).unwrap();
        let array = array.split("</array>").next().unwrap();
        let strings = array.split("<string>").skip(1);
        strings
            .map(|one| {
                let one = one.split("</string>").next().unwrap();
                assert!(!one.contains('<'), "{one}");
                let one = one.replace("\r\n", "\n").replace('\r', "\n");
                let one = one.replace("&lt;", "<").replace("&gt;", ">");
                one.replace("&#13;", "\r").replace("&amp;", "&")
            })
            .collect()
    }

    #[test]
    fn the_agent_starts_what_it_should_when_it_should() {
        let text = text_of("/Users/me/R&D <x>/cargo-stt").unwrap();
        assert!(text.contains("<string>/Users/me/R&amp;D &lt;x&gt;/cargo-stt</string>"));
        assert!(text.contains("<key>StartInterval</key>\n    <integer>90</integer>"));
        assert_eq!(
            arguments(&text),
            ["/Users/me/R&D <x>/cargo-stt", "stt", "reap"]
        );
        let open = text.matches("<key>").count();
        assert_eq!(open, text.matches("</key>").count());
        for bad in ["/a\u{1}", "/\u{ffff}"] {
            assert!(text_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_is_loaded_into_the_users_session() {
        let wanted = Wanted {
            program: "/x".into(),
            interval: Duration::from_secs(60),
            config_home: "/c".into(),
            home: "/Users/me".into(),
            uid: 501,
        };
        let plan = plan(&wanted).unwrap();
        let path = "/Users/me/Library/LaunchAgents/dev.cargo-stt.reap.plist";
        assert_eq!(plan.files[0].path, path);
        let last = plan.start.last().unwrap();
        assert_eq!(last.words, ["launchctl", "bootstrap", "gui/501", path]);
        assert_eq!(
            plan.stop[0].words[1..],
            ["bootout", "gui/501/dev.cargo-stt.reap"]
        );
    }

    proptest! {
        #[test]
        fn whatever_can_be_written_is_what_is_executed(
            path in r"/[^\x00]{0,12}|/[&<>;a-c#13\r\n]{0,12}",
        ) {
            if let Ok(text) = text_of(&path) {
                prop_assert_eq!(arguments(&text), [path.as_str(), "stt", "reap"]);
            } else {
                let bad = |c: char| c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}');
                prop_assert!(path.contains(bad));
            }
        }
    }
}
