//! The processes by which Podman watches over its containers, where no service does it. Pure.

use crate::container::is_id;

/// The container over which a process of this command line watches; `None` for every other process
/// (`conmon(8)`, `--cid`).
pub fn watched(command: &str) -> Option<&str> {
    let mut words = command.split(' ');
    let program = words.next()?;
    let name = program.rsplit('/').next()?;
    let id = words
        .skip_while(|word| !matches!(*word, "-c" | "--cid"))
        .nth(1)?;
    (name == "conmon" && is_id(id)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_names_its_container() {
        let id = "0123456789abcdef".repeat(4);
        for command in [
            format!("/usr/bin/conmon --api-version 1 -c {id} -u x -r /usr/bin/runc"),
            format!("conmon --cid {id}"),
        ] {
            assert_eq!(watched(&command), Some(id.as_str()), "{command}");
        }
        for command in [
            String::new(),
            "/usr/bin/conmon --api-version 1".to_owned(),
            "conmon -c".to_owned(),
            "conmon -c web".to_owned(),
            format!("sleep -c {id}"),
            format!("/usr/bin/conmon -u {id}"),
        ] {
            assert_eq!(watched(&command), None, "{command}");
        }
    }
}
