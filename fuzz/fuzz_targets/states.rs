//! See [`dragnet_fuzz::states`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dragnet_fuzz::states::run(data);
});

/// Replays the files that are named on the command line.
#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    dragnet_fuzz::replay_files(std::env::args_os().skip(1), |data| {
        for line in dragnet_fuzz::states::run(data) {
            println!("{line}");
        }
    })
}
