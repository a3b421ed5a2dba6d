//! The default configuration as values. `default.toml` says the same to people; a test holds them equal.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::CheckpointConfig;
use super::Config;
use super::ContainerConfig;
use super::ContainersConfig;
use super::CoordinatorConfig;
use super::CpuAction;
use super::GithubReport;
use super::GuardConfig;
use super::Leaks;
use super::LimitSets;
use super::OnBreach;
use super::OutputConfig;
use super::ReportConfig;
use super::RestartConfig;
use super::Reuse;
use super::RunConfig;
use super::ShowOutput;
use super::StatusLevel;
use super::TmpDir;
use super::document::DEFAULT_PROFILE;
use crate::limits::Limits;
use crate::limits::MilliCores;
use crate::retry::Retries;
use crate::script::Scripts;
use crate::selection::RunIgnored;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: DEFAULT_PROFILE.into(),
            run: RunConfig {
                test_threads: None,
                max_fail: Some(NonZeroUsize::MIN),
                run_ignored: RunIgnored::Default,
                doctests: false,
                default_filter: None,
                retries: Retries::NONE,
                slow_timeout: Duration::from_secs(60),
                terminate_after: None,
                grace_period: Duration::from_secs(10),
                leak_timeout: Duration::from_millis(200),
                leaks: Leaks::Warn,
                global_timeout: None,
                list_timeout: Duration::from_secs(60),
                tmpdir: TmpDir::Own,
                limits: None,
            },
            guard: GuardConfig {
                enabled: true,
                memory_threshold: Threshold::Machine(Percent::whole(80)),
                memory_critical: Percent::whole(92),
                process_threshold: Percent::whole(80),
                cpu_threshold: Percent::whole(80),
                cpu_action: CpuAction::Govern,
                cpu_sustain: Duration::from_secs(30),
                check_interval: Duration::from_secs(1),
                on_breach: OnBreach::Stop,
                grace_period: Duration::from_secs(2),
            },
            restart: RestartConfig {
                auto: false,
                max: 3,
                within: Duration::from_secs(3600),
                below: Percent::whole(70),
                stable: Duration::from_secs(5),
            },
            checkpoint: CheckpointConfig {
                enabled: true,
                path: None,
            },
            coordinator: CoordinatorConfig { enabled: true },
            container: ContainerConfig {
                image: None,
                network: None,
                reuse: Reuse::Test,
            },
            containers: ContainersConfig {
                enabled: true,
                budget: Duration::from_secs(10),
            },
            output: OutputConfig {
                status_level: StatusLevel::Pass,
                final_status_level: StatusLevel::Fail,
                success_output: ShowOutput::Never,
                failure_output: ShowOutput::Immediate,
                keep: Bytes(512 << 10),
                spill: Bytes::mib(64),
            },
            report: ReportConfig {
                junit: None,
                github: GithubReport::Auto,
            },
            limits: LimitSets(BUILT_IN.iter().map(built_in).map(Arc::new).collect()),
            test_groups: Vec::new(),
            scripts: Scripts::default(),
            overrides: Vec::new(),
        }
    }
}

/// Name, memory in MiB, thousandths of a core, and seconds.
type BuiltIn = (&'static str, u64, u32, u64);

const BUILT_IN: [BuiltIn; 5] = [
    ("fast", 128, 500, 30),
    ("standard", 512, 1000, 120),
    ("slow", 1024, 2000, 600),
    ("intensive", 2048, 4000, 1800),
    ("critical", 4096, 8000, 3600),
];

fn built_in(&(name, mib, cores, seconds): &BuiltIn) -> Limits {
    Limits {
        name: name.into(),
        memory: Some(Bytes::mib(mib)),
        cpu: Some(MilliCores(cores)),
        time: Some(Duration::from_secs(seconds)),
        ..Limits::default()
    }
}
