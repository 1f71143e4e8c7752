//! Drives the engine where there is no `std`: no clock, no threads, no operating system.
//!
//! A static library must bring everything that it needs. This one brings a panic handler and an
//! allocator; `std` would bring another panic handler, and two of them do not compile. So whatever drags
//! `std` in, however deep among the dependencies, is found here and nowhere else: an ordinary library
//! that says `#![no_std]` proves nothing of its dependencies.

#![no_std]

extern crate alloc;

use alloc::vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use dragnet_core::{
    EngineConfig, Item, Key, Network, Output, Query, QueryConfig, QueryEngine, Reason, Reply, Route, Time,
};

/// Peers and items are numbers.
enum Numbers {}

#[derive(Clone, PartialEq, Debug)]
struct Number(u32);

impl Item for Number {
    type Id = u32;

    fn id(&self) -> u32 {
        self.0
    }
}

impl Network for Numbers {
    type Peer = u32;
    type Request = u32;
    type Item = Number;

    fn key(peer: &u32) -> Key {
        Key::of(&peer.to_le_bytes())
    }
}

/// Asks a walk and a fetch of one peer each, and answers them. Returns how many items were found; 1 when
/// all is well.
#[unsafe(no_mangle)]
pub extern "C" fn dragnet_no_std_check() -> u32 {
    let mut engine = QueryEngine::<Numbers>::new(EngineConfig::default(), 0, [7; 32]);
    let query = Query::new(1)
        .route(Route::walk_from(Key::of(b"target"), vec![1, 2]))
        .fetch_from([3])
        .validator(|_: &u32, item: &Number| match item.0 {
            0 => Err(dragnet_core::Invalid::new("zero")),
            _ => Ok(()),
        })
        .config(QueryConfig::low_latency().with_timeout(Duration::from_millis(10)));
    if engine.start(Time::ZERO, query).is_err() {
        return 0;
    }
    let mut found = 0;
    let mut now = Time::ZERO;
    loop {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Contact { request, peer, .. } => {
                    now = now + Duration::from_millis(1);
                    let items = if peer == 3 { vec![Number(0), Number(9), Number(9)] } else { vec![] };
                    engine.handle_reply(now, request, Reply::with_items(items));
                }
                Output::Found { .. } => found += 1,
                Output::Finished { outcome, .. } if outcome.reason == Reason::Exhausted => return found,
                _ => {}
            }
        }
        match engine.poll_timeout() {
            Some(at) => engine.handle_tick(at),
            None => return 0,
        }
    }
}

const ARENA_BYTES: usize = 1 << 20;

/// Gives out a megabyte from front to back, and takes nothing back.
struct Bump {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: `used` gives every allocation bytes of its own.
unsafe impl Sync for Bump {}

// SAFETY: an allocation is aligned, within the arena, and never given out twice.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.arena.get().cast::<u8>();
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let offset = (start as usize + used).next_multiple_of(layout.align()) - start as usize;
            let end = offset + layout.size();
            if end > ARENA_BYTES {
                return ptr::null_mut();
            }
            match self.used.compare_exchange(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                // SAFETY: `offset` is within the arena.
                Ok(_) => return unsafe { start.add(offset) },
                Err(other) => used = other,
            }
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { arena: UnsafeCell::new([0; ARENA_BYTES]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
