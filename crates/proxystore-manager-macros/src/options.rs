//! What stands in attributes: the options of a block, and the marks of a method.

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Lit, LitStr, Meta, Path, Result, Token};

/// What stands in the parentheses of `#[object(…)]` and `#[interface(…)]`.
#[derive(Default)]
pub(crate) struct Options {
    /// The crate that the generated code uses, if not the usual one.
    pub(crate) home: Option<Path>,
    pub(crate) typeid: Option<LitStr>,
    /// Where the word stands.
    pub(crate) value: Option<Span>,
    /// Where the word stands.
    pub(crate) display: Option<Span>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        for meta in Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)? {
            let again = match &meta {
                Meta::NameValue(pair) if pair.path.is_ident("typeid") => {
                    options.typeid.replace(typeid(&pair.value)?).is_some()
                }
                Meta::NameValue(pair) if pair.path.is_ident("crate") => {
                    options.home.replace(path(&pair.value)?).is_some()
                }
                Meta::Path(path) if path.is_ident("value") => options.value.replace(path.span()).is_some(),
                Meta::Path(path) if path.is_ident("display") => {
                    options.display.replace(path.span()).is_some()
                }
                _ => {
                    let why =
                        "unknown option; there are `typeid = \"…\"`, `value`, `display` and `crate = \"…\"`";
                    return Err(Error::new_spanned(&meta, why));
                }
            };
            if again {
                return Err(Error::new_spanned(&meta, "this option stands here twice"));
            }
        }
        Ok(options)
    }
}

/// Our attributes on one method, and where they stand.
#[derive(Default)]
pub(crate) struct Marks {
    pub(crate) hidden: Option<Span>,
    pub(crate) ctor: Option<Span>,
    pub(crate) idempotent: Option<Span>,
    pub(crate) cancel: Option<Span>,
    pub(crate) no_cancel: Option<Span>,
    /// `poison = "ignore"`.
    pub(crate) unpoisoned: Option<Span>,
    /// Milliseconds, and where they stand.
    pub(crate) timeout: Option<(u64, Span)>,
    pub(crate) rename: Option<LitStr>,
}

impl Marks {
    /// Takes our attributes off a method, also those that are wrong.
    pub(crate) fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let mut marks = Self::default();
        let mut failure = Ok(());
        attributes.retain(|attribute| {
            let ours = marks.read(attribute);
            let foreign = matches!(ours, Ok(false));
            failure = std::mem::replace(&mut failure, Ok(())).and(ours.map(drop));
            foreign
        });
        failure.map(|()| marks)
    }

    /// Whether the attribute is one of ours.
    fn read(&mut self, attribute: &Attribute) -> Result<bool> {
        let span = attribute.path().span();
        let flag = match attribute.path().get_ident().map(Ident::to_string).as_deref() {
            Some("hidden") => &mut self.hidden,
            Some("ctor") => &mut self.ctor,
            Some("idempotent") => &mut self.idempotent,
            Some("cancel") => &mut self.cancel,
            Some("no_cancel") => &mut self.no_cancel,
            Some("poison") => {
                let value = given(attribute, "write `poison = \"ignore\"`")?;
                if text(value)?.value() != "ignore" {
                    return Err(Error::new_spanned(
                        value,
                        "a panic poisons; the other choice is `\"ignore\"`",
                    ));
                }
                return once(self.unpoisoned.replace(span).is_some(), span);
            }
            Some("timeout") => {
                let time = time(given(attribute, "write `timeout = \"5s\"`")?)?;
                return once(self.timeout.replace((time, span)).is_some(), span);
            }
            Some("rename") => {
                let name = name(given(attribute, "write `rename = \"…\"`")?)?;
                return once(self.rename.replace(name).is_some(), span);
            }
            _ => return Ok(false),
        };
        if !matches!(attribute.meta, Meta::Path(_)) {
            return Err(Error::new_spanned(&attribute.meta, "this mark stands alone"));
        }
        once(flag.replace(span).is_some(), span)
    }

    /// Where a mark stands that says something about calls.
    pub(crate) fn of_calls(&self) -> Option<Span> {
        let rename = self.rename.as_ref().map(LitStr::span);
        let timeout = self.timeout.map(|(_, span)| span);
        self.idempotent.or(self.cancel).or(self.no_cancel).or(self.unpoisoned).or(timeout).or(rename)
    }
}

/// What stands behind `=`.
fn given<'a>(attribute: &'a Attribute, instead: &str) -> Result<&'a Expr> {
    match &attribute.meta {
        Meta::NameValue(pair) => Ok(&pair.value),
        meta => Err(Error::new_spanned(meta, instead)),
    }
}

fn once(again: bool, span: Span) -> Result<bool> {
    if again { Err(Error::new(span, "this mark stands here twice")) } else { Ok(true) }
}

fn text(value: &Expr) -> Result<&LitStr> {
    match value {
        Expr::Lit(literal) if let Lit::Str(text) = &literal.lit => Ok(text),
        _ => Err(Error::new_spanned(value, "a string in quotation marks stands here")),
    }
}

fn typeid(value: &Expr) -> Result<LitStr> {
    let text = text(value)?;
    match text.value().len() {
        1..=128 => Ok(text.clone()),
        _ => Err(Error::new(text.span(), "a typeid has 1 to 128 bytes")),
    }
}

fn path(value: &Expr) -> Result<Path> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        Error::new(text.span(), "the path of a crate stands here, such as `proxystore::manager`")
    })
}

/// Milliseconds.
fn time(value: &Expr) -> Result<u64> {
    let written = text(value)?.value();
    let number = written.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = match &written[number.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let millis =
        unit.zip(number.parse().ok()).and_then(|(unit, number): (u64, u64)| number.checked_mul(unit));
    millis.filter(|millis| *millis > 0).ok_or_else(|| {
        let why = "a time stands here: a whole number above 0 and `ms`, `s`, `m` or `h`, such as `\"5s\"`";
        Error::new_spanned(value, why)
    })
}

fn name(value: &Expr) -> Result<LitStr> {
    let text = text(value)?;
    if text.value().is_empty() {
        return Err(Error::new(text.span(), "a method has a name"));
    }
    Ok(text.clone())
}
