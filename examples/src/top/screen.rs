//! The terminal: taken, drawn on, and given back whatever happens.

use std::io::{self, Stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use smol::channel::{Receiver, Sender};

use super::rates::History;
use super::view::{View, draw};
use crate::monitor::Status;
use crate::signals::Interrupt;

/// How often the thread that reads keys looks whether it is still wanted.
const KEY_PAUSE: Duration = Duration::from_millis(50);

/// What happens.
enum Happening {
    Told(Result<Box<Status>, String>),
    Key(Input),
    End,
}

/// What comes from the terminal.
enum Input {
    Quit,
    /// Its size has changed.
    Redraw,
}

/// Shows what comes, until somebody wants no more of it. The terminal is then as it was before, after an
/// error and a panic too.
///
/// # Errors
///
/// When the terminal cannot be taken, or goes away.
pub async fn show(
    mut view: View,
    told: Receiver<Result<Status, String>>,
    interrupt: &mut Interrupt,
) -> io::Result<()> {
    let mut screen = Screen::take()?;
    let (inputs, input) = smol::channel::bounded(16);
    let reader = KeyReader::start(inputs);
    let mut history = History::default();
    loop {
        screen.terminal.draw(|frame| draw(frame, &view))?;
        let happening = smol::future::or(
            async {
                interrupt.wait().await;
                Happening::End
            },
            smol::future::or(async { input.recv().await.map_or(Happening::End, Happening::Key) }, async {
                told.recv().await.map_or(Happening::End, |told| Happening::Told(told.map(Box::new)))
            }),
        );
        match happening.await {
            Happening::Told(told) => view.update(&mut history, told.map(|status| *status)),
            Happening::Key(Input::Redraw) => {}
            Happening::Key(Input::Quit) | Happening::End => break,
        }
    }
    drop(reader);
    screen.give_back()
}

/// The terminal, taken.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    taken: Taken,
}

/// Dropped, it gives the terminal back.
struct Taken;

/// Whether a terminal is taken: a panic gives it back once.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl Screen {
    fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let earlier = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // First, or its text would go to the screen that is left.
                let _ = give_back();
                earlier(panic);
            }));
        });
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::Release);
        // Before anything else can fail.
        let taken = Taken;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(Self { terminal, taken })
    }

    fn give_back(self) -> io::Result<()> {
        let result = give_back();
        drop(self.taken);
        result
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = give_back();
    }
}

fn give_back() -> io::Result<()> {
    if !TAKEN.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let left = execute!(io::stdout(), LeaveAlternateScreen, Show);
    disable_raw_mode()?;
    left
}

/// The thread that reads keys: crossterm waits for them in no other way that needs no runtime of its own.
struct KeyReader {
    thread: Option<thread::JoinHandle<()>>,
    wanted: Sender<Input>,
}

impl KeyReader {
    fn start(inputs: Sender<Input>) -> Self {
        let wanted = inputs.clone();
        let thread = thread::spawn(move || {
            while !inputs.is_closed() {
                let input = match event::poll(KEY_PAUSE).and_then(|some| some.then(event::read).transpose()) {
                    Ok(None) => continue,
                    Ok(Some(event)) => meaning(&event),
                    // The terminal has gone away.
                    Err(_) => Some(Input::Quit),
                };
                if input.is_some_and(|input| inputs.send_blocking(input).is_err()) {
                    return;
                }
            }
        });
        Self { thread: Some(thread), wanted }
    }
}

impl Drop for KeyReader {
    fn drop(&mut self) {
        self.wanted.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell: it panics at nothing that is not told by the hook.
            let _ = thread.join();
        }
    }
}

fn meaning(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Redraw),
        Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) => {
            let quits = match code {
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
                KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
                _ => false,
            };
            quits.then_some(Input::Quit)
        }
        _ => None,
    }
}
