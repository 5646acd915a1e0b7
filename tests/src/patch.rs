//! Small changes to one kernel of a PTX module, written by hand. They panic where they find no place:
//! a mistake that cannot be made would go unnoticed.

/// A module taken apart at one of its kernels. Lines are trimmed.
pub struct Kernel {
    before: String,
    lines: Vec<String>,
    after: String,
}

impl Kernel {
    /// The kernel `name` of the module `ptx`.
    pub fn of(ptx: &str, name: &str) -> Kernel {
        let start = ptx.find(&format!(".entry {name}(")).expect("the module has the kernel");
        let length = ptx[start..].find("\n}").expect("the kernel ends") + 2;
        Kernel {
            before: ptx[..start].to_owned(),
            lines: ptx[start..start + length].lines().map(|line| line.trim().to_owned()).collect(),
            after: ptx[start + length..].to_owned(),
        }
    }

    /// The module again.
    pub fn into_module(self) -> String {
        self.before + &self.lines.join("\n") + &self.after
    }

    /// The `nth` line that contains the mnemonic `what`.
    pub fn find(&self, what: &str, nth: usize) -> usize {
        let found = self.lines.iter().enumerate().filter(|(_, line)| line.contains(what));
        found.map(|(at, _)| at).nth(nth).unwrap_or_else(|| panic!("no {what} number {nth}"))
    }

    /// The first line with a property.
    pub fn find_where(&self, is: impl Fn(&str) -> bool) -> usize {
        self.find_from(0, is).expect("a line with the property")
    }

    /// The first line at or after `from` with a property.
    pub fn find_from(&self, from: usize, is: impl Fn(&str) -> bool) -> Option<usize> {
        (from..self.lines.len()).find(|&at| is(&self.lines[at]))
    }

    /// The text of a line.
    pub fn line(&self, at: usize) -> String {
        self.lines[at].clone()
    }

    fn registers(&self, at: usize) -> Vec<String> {
        let code = self.lines[at].split("//").next().unwrap();
        let mut registers = vec![];
        for (start, _) in code.match_indices('%') {
            let rest = &code[start + 1..];
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            registers.push(code[start..start + 1 + end].to_owned());
        }
        registers
    }

    /// The `nth` register that a line names.
    pub fn operand(&self, at: usize, nth: usize) -> String {
        self.registers(at)[nth].clone()
    }

    /// The `nth` register that a line names, counted from the end.
    pub fn operand_from_end(&self, at: usize, nth: usize) -> String {
        let registers = self.registers(at);
        registers[registers.len() - 1 - nth].clone()
    }

    /// The last line before instruction `nth` of `what` that defines its register operand `operand`.
    pub fn definition_of_operand(&self, what: &str, nth: usize, operand: usize) -> usize {
        let user = self.find(what, nth);
        let register = self.operand(user, operand);
        (0..user)
            .rev()
            .find(|&at| {
                let line = &self.lines[at];
                !line.starts_with('{')
                    && !line.contains("tcgen05")
                    && !line.starts_with("@")
                    && self.registers(at).first() == Some(&register)
            })
            .unwrap_or_else(|| panic!("{register} of {what} is not defined"))
    }

    /// Removes a line, leaving its place.
    pub fn delete(&mut self, at: usize) {
        self.lines[at].clear();
    }

    /// Replaces a line.
    pub fn replace_line(&mut self, at: usize, text: &str) {
        text.clone_into(&mut self.lines[at]);
    }

    /// Replaces a part of a line.
    pub fn replace(&mut self, at: usize, from: &str, to: &str) {
        assert!(self.lines[at].contains(from), "{:?} does not contain {from:?}", self.lines[at]);
        self.lines[at] = self.lines[at].replacen(from, to, 1);
    }

    /// Replaces a number wherever it is an operand.
    pub fn replace_number(&mut self, from: u64, to: u64) {
        let (from, to) = (format!(", {from};"), format!(", {to};"));
        let mut count = 0;
        for line in &mut self.lines {
            if line.contains(&from) {
                *line = line.replace(&from, &to);
                count += 1;
            }
        }
        assert!(count > 0, "no operand {from:?}");
    }

    /// Adds lines before a line; indices before it stay.
    pub fn insert_before(&mut self, at: usize, text: &str) {
        self.lines[at] = format!("{text}\n{}", self.lines[at]);
    }

    /// Adds lines after a line.
    pub fn insert_after(&mut self, at: usize, text: &str) {
        self.lines[at] = format!("{}\n{text}", self.lines[at]);
    }
}
