//! A client that speaks to the engine's API itself.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::CreateExecOptions;
use bollard::exec::StartExecResults;
use bollard::models::ContainerCreateBody;
use bollard::models::HostConfig;
use bollard::models::NetworkCreateRequest;
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use bollard::query_parameters::BuildImageOptionsBuilder;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bollard::query_parameters::LogsOptionsBuilder;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use bollard::query_parameters::RemoveImageOptions;
use bollard::query_parameters::RemoveVolumeOptions;
use bollard::query_parameters::StartContainerOptions;
use bollard::query_parameters::StatsOptionsBuilder;
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bollard::query_parameters::WaitContainerOptions;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use rust_clients::image;
use tokio::io::AsyncWriteExt as _;

fn run(work: impl Future<Output = Result<(), bollard::errors::Error>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("it starts")
        .block_on(work)
        .expect("the engine does it");
}

async fn connect() -> Result<Docker, bollard::errors::Error> {
    Docker::connect_with_defaults()?.negotiate_version().await
}

fn body(command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image()),
        cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// A network and a volume of this name.
async fn network_and_volume(docker: &Docker, name: &str) -> Result<(), bollard::errors::Error> {
    let network = NetworkCreateRequest {
        name: name.to_owned(),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(network).await?;
    let volume = VolumeCreateRequest {
        name: Some(name.to_owned()),
        ..VolumeCreateRequest::default()
    };
    docker.create_volume(volume).await?;
    Ok(())
}

async fn sleeper(docker: &Docker) -> Result<String, bollard::errors::Error> {
    let id = docker
        .create_container(None, body(&["sleep", "300"]))
        .await?
        .id;
    docker
        .start_container(&id, None::<StartContainerOptions>)
        .await?;
    Ok(id)
}

async fn remove(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    docker.remove_container(id, Some(options)).await
}

/// An archive with one file in it (`tar(5)`, ustar).
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0; 512];
    let mut put =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = head.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

fn said(output: &LogOutput) -> String {
    String::from_utf8_lossy(output.as_ref()).into_owned()
}

#[test]
fn attaches() {
    run(async {
        let docker = connect().await?;
        let mut body = body(&["cat"]);
        (body.open_stdin, body.stdin_once, body.attach_stdin) =
            (Some(true), Some(true), Some(true));
        let id = docker.create_container(None, body).await?.id;
        let options = AttachContainerOptionsBuilder::new()
            .stdin(true)
            .stdout(true)
            .stream(true)
            .build();
        let mut attached = docker.attach_container(&id, Some(options)).await?;
        docker
            .start_container(&id, None::<StartContainerOptions>)
            .await?;
        attached.input.write_all(b"through").await?;
        attached.input.shutdown().await?;
        drop(attached.input);
        let back: Vec<_> = attached.output.try_collect().await?;
        assert_eq!(back.iter().map(said).collect::<String>(), "through");
        let ends: Vec<_> = docker
            .wait_container(&id, None::<WaitContainerOptions>)
            .try_collect()
            .await?;
        assert_eq!(ends[0].status_code, 0);
        remove(&docker, &id).await
    });
}

#[test]
fn executes() {
    run(async {
        let docker = connect().await?;
        let id = sleeper(&docker).await?;
        for terminal in [false, true] {
            let options = CreateExecOptions {
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                tty: Some(terminal),
                cmd: Some(vec!["sh", "-c", "echo inside; exit 3"]),
                ..CreateExecOptions::default()
            };
            let exec = docker.create_exec(&id, options).await?.id;
            let StartExecResults::Attached { output, .. } = docker.start_exec(&exec, None).await?
            else {
                panic!("it is not attached");
            };
            let back: Vec<_> = output.try_collect().await?;
            assert_eq!(
                back.iter().map(said).collect::<String>().trim_end(),
                "inside"
            );
            assert_eq!(docker.inspect_exec(&exec).await?.exit_code, Some(3));
        }
        remove(&docker, &id).await
    });
}

#[test]
fn follows() {
    run(async {
        let docker = connect().await?;
        let id = docker
            .create_container(None, body(&["sh", "-c", "echo one; sleep 0.3; echo two"]))
            .await?
            .id;
        docker
            .start_container(&id, None::<StartContainerOptions>)
            .await?;
        let options = LogsOptionsBuilder::new().follow(true).stdout(true).build();
        let lines: Vec<_> = docker.logs(&id, Some(options)).try_collect().await?;
        assert_eq!(lines.iter().map(said).collect::<String>(), "one\ntwo\n");
        remove(&docker, &id).await
    });
}

#[test]
fn copies_and_measures() {
    run(async {
        let docker = connect().await?;
        let id = sleeper(&docker).await?;
        let content = vec![b'x'; 3_000_000];
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let packed = bollard::body_full(archive("file", &content).into());
        docker
            .upload_to_container(&id, Some(options), packed)
            .await?;
        let options = DownloadFromContainerOptionsBuilder::new()
            .path("/file")
            .build();
        let back: Vec<_> = docker
            .download_from_container(&id, Some(options))
            .try_collect()
            .await?;
        let back = back.concat();
        assert!(back[512..].starts_with(&content), "{} bytes", back.len());
        let options = StatsOptionsBuilder::new().stream(true).build();
        let stats: Vec<_> = docker
            .stats(&id, Some(options))
            .take(2)
            .try_collect()
            .await?;
        assert_eq!(stats.len(), 2);
        remove(&docker, &id).await
    });
}

#[test]
fn builds() {
    run(async {
        let docker = connect().await?;
        let name = format!("{}-bollard", image());
        let file = format!(
            "FROM {}\nRUN echo made >/made\nCMD [\"cat\", \"/made\"]\n",
            image()
        );
        let options = BuildImageOptionsBuilder::new().t(&name).build();
        let packed = bollard::body_full(archive("Dockerfile", file.as_bytes()).into());
        let steps: Vec<_> = docker
            .build_image(options, None, Some(packed))
            .try_collect()
            .await?;
        assert!(!steps.is_empty());
        docker.inspect_image(&name).await?;
        docker
            .remove_image(&name, None::<RemoveImageOptions>, None)
            .await?;
        Ok(())
    });
}

#[test]
fn leaves_all_kinds() {
    run(async {
        let docker = connect().await?;
        let name = format!("stt-clients-{}", std::process::id());
        network_and_volume(&docker, &name).await?;
        sleeper(&docker).await?;
        Ok(())
    });
}

#[test]
fn removes_all_kinds() {
    run(async {
        let docker = connect().await?;
        let name = format!("stt-clients-removed-{}", std::process::id());
        network_and_volume(&docker, &name).await?;
        docker.remove_network(&name).await?;
        docker
            .remove_volume(&name, None::<RemoveVolumeOptions>)
            .await
    });
}
