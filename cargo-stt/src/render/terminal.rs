//! A terminal for tests: it shows what would be on a screen after some output.

/// A screen that scrolls, wraps late as real terminals do, and knows the few commands that are used.
pub(super) struct Emulator {
    columns: usize,
    rows: usize,
    lines: Vec<Vec<char>>,
    /// Which lines go on in the next one because they were too long.
    wrapped: Vec<bool>,
    row: usize,
    column: usize,
}

impl Emulator {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            lines: vec![Vec::new()],
            wrapped: vec![false],
            row: 0,
            column: 0,
        }
    }

    /// Everything so far, what has scrolled away included, without trailing space.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| {
                line.iter()
                    .collect::<String>()
                    .replace('\0', "")
                    .trim_end()
                    .to_owned()
            })
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    pub(super) fn feed(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\n' => self.next_line(),
                '\r' => self.column = 0,
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "only control sequences are used");
                    let mut parameters = String::new();
                    let command = loop {
                        match chars.next().expect("a sequence ends") {
                            c if c.is_ascii_digit() || c == ';' => parameters.push(c),
                            c => break c,
                        }
                    };
                    self.command(command, &parameters);
                }
                c => self.put(c),
            }
        }
    }

    /// Changes the width, and wraps anew what had been wrapped, as most terminals do. The cursor has
    /// to be in the last line.
    pub(super) fn resize(&mut self, columns: usize) {
        assert_eq!(self.row + 1, self.lines.len());
        let mut anew = Self::new(columns, self.rows);
        for (index, (line, wrapped)) in self.lines.iter().zip(&self.wrapped).enumerate() {
            for c in line {
                anew.put(*c);
            }
            if !wrapped && index < self.row {
                anew.next_line();
            }
        }
        *self = anew;
    }

    fn command(&mut self, command: char, parameters: &str) {
        match command {
            'm' => {}
            'A' => {
                let top = self.lines.len().saturating_sub(self.rows);
                let up = parameters.parse::<usize>().unwrap();
                self.row = self.row.saturating_sub(up).max(top);
            }
            'B' => {
                let down = parameters.parse::<usize>().unwrap();
                self.row = (self.row + down).min(self.lines.len() - 1);
            }
            'K' => {
                assert_eq!(parameters, "2");
                self.lines[self.row].clear();
                self.wrapped[self.row] = false;
            }
            other => panic!("unexpected command {other:?}"),
        }
    }

    fn next_line(&mut self) {
        self.row += 1;
        self.column = 0;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
            self.wrapped.push(false);
        }
    }

    fn put(&mut self, c: char) {
        let width = unicode_width::UnicodeWidthChar::width(c).expect("only text is shown");
        if self.column + width > self.columns {
            self.wrapped[self.row] = true;
            self.next_line();
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + width), ' ');
        line[self.column..self.column + width].fill('\0');
        line[self.column] = c;
        self.column += width;
    }
}
