//! The default configuration as values. `default.toml` says the same to people; a test holds them equal.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::CheckpointConfig;
use super::Config;
use super::CpuAction;
use super::GuardConfig;
use super::OnBreach;
use super::OutputConfig;
use super::RunConfig;
use super::ShowOutput;
use super::StatusLevel;
use super::TmpDir;
use crate::selection::RunIgnored;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

impl Default for Config {
    fn default() -> Self {
        Self {
            run: RunConfig {
                test_threads: None,
                max_fail: Some(NonZeroUsize::MIN),
                run_ignored: RunIgnored::Default,
                slow_timeout: Duration::from_secs(60),
                terminate_after: None,
                grace_period: Duration::from_secs(10),
                leak_timeout: Duration::from_millis(200),
                list_timeout: Duration::from_secs(60),
                tmpdir: TmpDir::Own,
            },
            guard: GuardConfig {
                enabled: true,
                memory_threshold: Threshold::Machine(Percent::whole(80)),
                memory_critical: Percent::whole(92),
                cpu_threshold: Percent::whole(80),
                cpu_action: CpuAction::Govern,
                cpu_sustain: Duration::from_secs(30),
                check_interval: Duration::from_secs(1),
                on_breach: OnBreach::Stop,
                grace_period: Duration::from_secs(2),
            },
            checkpoint: CheckpointConfig {
                enabled: true,
                path: None,
            },
            output: OutputConfig {
                status_level: StatusLevel::Pass,
                final_status_level: StatusLevel::Fail,
                success_output: ShowOutput::Never,
                failure_output: ShowOutput::Immediate,
                keep: Bytes(512 << 10),
                spill: Bytes::mib(64),
            },
        }
    }
}
