//! The options of a URI, typed.

use std::str::FromStr;
use std::time::Duration;

use crate::{Error, ErrorKind, Result, Uri};

impl Uri {
    /// A typed view of the options, of which only the names in `valid` may occur.
    ///
    /// Errors with `Config` on an unknown one; the message suggests the nearest name and lists them all.
    pub fn options<'a>(&'a self, valid: &[&str]) -> Result<Options<'a>> {
        for (name, _) in self.option_pairs() {
            if !valid.contains(&name) {
                let nearest = valid.iter().map(|v| (distance(name, v), v)).filter(|(d, _)| *d <= 2).min();
                let mut error =
                    Error::new(ErrorKind::Config, format!("`{}://` has no option `{name}`", self.scheme()))
                        .with("uri", self.without_options());
                error = match (nearest, valid) {
                    (_, []) => error.hint("this scheme takes no options"),
                    (Some((_, near)), _) => {
                        error.hint(format!("did you mean `{near}`? Valid options: {}", valid.join(", ")))
                    }
                    (None, _) => error.hint(format!("valid options: {}", valid.join(", "))),
                };
                return Err(error);
            }
        }
        Ok(Options(self))
    }
}

/// Typed access to the options of a [`Uri`]: see [`Uri::options`].
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a Uri);

impl Options<'_> {
    /// The value of `name` as text, empty if it is absent.
    pub fn text(&self, name: &str) -> String {
        self.0.option(name).unwrap_or_default().into()
    }

    /// The value of `name` parsed as `T`, or `default` if it is absent. `Config` if it does not parse.
    pub fn parse<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.0.option(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.bad(name, std::any::type_name::<T>())),
        }
    }

    /// A duration: a whole number with `ms`, `s`, `m` or `h`, such as `500ms`.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration> {
        let Some(text) = self.0.option(name) else { return Ok(default) };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        let number: u64 = number.parse().unwrap_or(0);
        match number.checked_mul(millis) {
            Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
            _ => Err(self.bad(name, "a duration such as 500ms or 30s")),
        }
    }

    fn bad(&self, name: &str, wanted: &str) -> Error {
        Error::new(ErrorKind::Config, format!("the option `{name}` is not {wanted}"))
            .with("uri", self.0.without_options())
    }
}

/// Levenshtein's edit distance, for short words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
