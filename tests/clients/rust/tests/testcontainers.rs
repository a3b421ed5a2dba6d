//! A container of testcontainers goes when it is dropped; here are ways in which it is not.

use std::sync::OnceLock;
use std::time::Duration;

use rust_clients::image;
use rust_clients::leave;
use testcontainers::Container;
use testcontainers::GenericImage;
use testcontainers::ImageExt as _;
use testcontainers::core::ExecCommand;
use testcontainers::core::WaitFor;
use testcontainers::runners::SyncRunner as _;

fn start() -> Container<GenericImage> {
    let image = image();
    let (name, tag) = image.split_once(':').expect("it has a tag");
    let container = GenericImage::new(name, tag)
        .with_wait_for(WaitFor::message_on_stdout("ready"))
        .with_network("none")
        .with_cmd(["sh", "-c", "echo ready; sleep 300"])
        .start()
        .expect("it starts");
    leave("left", container.id());
    container
}

#[test]
fn uses_and_drops() {
    let container = start();
    let mut done = container
        .exec(ExecCommand::new(["sh", "-c", "echo inside; exit 3"]))
        .expect("it runs");
    assert_eq!(done.stdout_to_vec().expect("it ends"), b"inside\n");
    assert_eq!(done.exit_code().expect("it has ended"), Some(3));
    let said = container.stdout_to_vec().expect("it has said something");
    assert_eq!(said, b"ready\n");
}

/// It has files of ours, and a network of its own, which testcontainers makes and removes.
#[test]
fn uses_a_network_and_files() {
    let image = image();
    let (name, tag) = image.split_once(':').expect("it has a tag");
    let network = format!("stt-clients-{}", std::process::id());
    let container = GenericImage::new(name, tag)
        .with_wait_for(WaitFor::message_on_stdout("copied"))
        .with_network(&network)
        .with_copy_to("/file", b"copied\n".to_vec())
        .with_cmd(["sh", "-c", "cat /file; sleep 300"])
        .start()
        .expect("it starts");
    drop(container);
}

#[test]
fn exits() {
    let _container = start();
    std::process::exit(0);
}

#[test]
fn aborts() {
    let _container = start();
    std::process::abort();
}

#[test]
fn keeps_it_in_a_static() {
    static KEPT: OnceLock<Container<GenericImage>> = OnceLock::new();
    KEPT.get_or_init(start);
}

#[test]
fn forgets_it() {
    std::mem::forget(start());
}

#[test]
fn is_killed() {
    let _container = start();
    let pid = std::process::id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid])
        .status();
    panic!("it is alive: {killed:?}");
}

#[test]
fn panics_while_it_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("once more");
        }
    }
    let _container = start();
    let _bomb = Bomb;
    panic!("once");
}

#[test]
fn overflows_its_stack() {
    fn deeper(depth: u64) -> u64 {
        let kept = std::hint::black_box([depth; 512]);
        if depth == u64::MAX {
            return 0;
        }
        deeper(depth + 1) + kept[7]
    }
    let _container = start();
    let depth = deeper(0);
    panic!("it went {depth} deep");
}

#[test]
fn hangs() {
    let _container = start();
    leave("up", "");
    std::thread::sleep(Duration::from_secs(300));
}
