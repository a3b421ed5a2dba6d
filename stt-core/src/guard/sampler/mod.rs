//! Takes the samples. This is the one place that chooses a platform.

mod config;
#[cfg(target_os = "linux")]
mod linux;
mod missing;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    expect(unreachable_pub, reason = "on Linux it is only tested")
)]
mod portable;

pub use config::SamplerConfig;
pub use missing::Missing;

#[cfg(target_os = "linux")]
pub use linux::OomWatch;
#[cfg(target_os = "linux")]
pub use linux::Sampler;
#[cfg(target_os = "linux")]
pub use linux::cores;
#[cfg(not(target_os = "linux"))]
pub use portable::OomWatch;
#[cfg(not(target_os = "linux"))]
pub use portable::Sampler;
#[cfg(not(target_os = "linux"))]
pub use portable::cores;
