//! `--format`: Go's templates over JSON, with the functions that Docker's client adds.
//!
//! All of text/template but `define`, `template` and `block`. A value stays the text of its JSON:
//! that keeps the order of members and needs no tree. Depth is bounded where a template is parsed.

mod call;
mod parse;
mod printf;
mod value;

use self::parse::{Base, Block, Command, Kind, Node, Pipe, Place, Term};
use self::value::{Value, no_entry};
use crate::error::{Error, Result};
use crate::json::node;

pub struct Template {
    source: String,
    nodes: Vec<Node>,
}

/// What a template is filled with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A document of the engine.
    Document,
    /// A row of a list: it has certain fields and no others.
    Row,
    /// The titles above the rows.
    Head,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template> {
        Ok(Template {
            source: text.to_string(),
            nodes: parse::parse(text)?,
        })
    }

    /// The text for `value`, which is sound JSON.
    pub fn render(&self, value: &str, what: What) -> Result<String> {
        let root = Value::of_json(value, "");
        let mut run = Run {
            source: &self.source,
            what,
            variables: vec![("$", root.clone())],
            text: String::new(),
        };
        run.nodes(&self.nodes, &root)?;
        Ok(run.text)
    }
}

/// A template being filled in.
struct Run<'t> {
    source: &'t str,
    what: What,
    variables: Vec<(&'t str, Value)>,
    text: String,
}

/// How the nodes of a block ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'t> Run<'t> {
    fn failed(&self, place: Place, what: &str) -> Error {
        let before = self.source.get(..place.at).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let text = self.source.get(place.start..place.end).unwrap_or_default();
        Error::invalid(format!(
            "template parsing error: template: :{line}:{column}: executing \"\" at <{text}>: {what}"
        ))
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Value) -> Result<Flow> {
        let known = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = match node {
                Node::Text(text) => {
                    self.text.push_str(text);
                    Flow::On
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.print(pipe, &value)?;
                    }
                    Flow::On
                }
                Node::Block(block) => {
                    let known = self.variables.len();
                    let flow = self.block(block, dot)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn print(&mut self, pipe: &Pipe, value: &Value) -> Result<()> {
        if let (Value::Absent(name), Some(command)) = (value, pipe.commands.last()) {
            let place = command
                .terms
                .first()
                .map_or(command.place, |term| term.place);
            return Err(self.failed(place, &no_entry(name)));
        }
        self.text.push_str(&value.show());
        Ok(())
    }

    fn block(&mut self, block: &'t Block, dot: &Value) -> Result<Flow> {
        let value = self.pipe(&block.pipe, dot)?;
        match (block.kind, value.is_true()) {
            (Kind::Range, _) => self.range(block, &value, dot),
            (_, false) => self.nodes(&block.otherwise, dot),
            (Kind::If, true) => self.nodes(&block.then, dot),
            (Kind::With, true) => self.nodes(&block.then, &value),
        }
    }

    fn range(&mut self, block: &'t Block, value: &Value, dot: &Value) -> Result<Flow> {
        let members = match value {
            value if value.is_nothing() => Vec::new(),
            value => value.members().ok_or_else(|| {
                let place = block.pipe.commands.last().map_or(NOWHERE, |c| c.place);
                self.failed(place, &format!("range can't iterate over {}", value.show()))
            })?,
        };
        if members.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        let is_list = matches!(value, Value::List(_));
        for (n, (name, member)) in members.into_iter().enumerate() {
            let known = self.variables.len();
            let key = match is_list {
                true => Value::number(n),
                false => Value::Text(name),
            };
            match &block.pipe.variables[..] {
                [element] => self.set(&block.pipe, element, member.clone()),
                [index, element] => {
                    self.set(&block.pipe, index, key);
                    self.set(&block.pipe, element, member.clone());
                }
                _ => {}
            }
            let flow = self.nodes(&block.then, &member)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, pipe: &Pipe, name: &'t str, value: Value) {
        let mut variables = self.variables.iter_mut();
        let found = variables.rfind(|(known, _)| pipe.is_assignment && *known == name);
        match found {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    /// Each command's result is the last argument of the next.
    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Result<Value> {
        let mut result = None;
        for command in &pipe.commands {
            result = Some(self.command(command, result, dot)?);
        }
        let value = result.unwrap_or(Value::Nil);
        // For `range` they are set at each turn.
        if let [name] = &pipe.variables[..] {
            self.set(pipe, name, value.clone());
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'t Command,
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value> {
        let Some((first, rest)) = command.terms.split_first() else {
            return Ok(Value::Nil);
        };
        match &first.base {
            Base::Function(name) if first.fields.is_empty() => {
                self.function(command, name, rest, piped, dot)
            }
            Base::Value(Value::Nil) => Err(self.failed(first.place, "nil is not a command")),
            _ if rest.is_empty() && piped.is_none() => self.term(first, dot),
            Base::Dot if first.fields.len() == 1 && self.what != What::Document => {
                self.method(first, rest, piped, dot)
            }
            Base::Dot if !first.fields.is_empty() => {
                let name = first.fields.last().map_or("", String::as_str);
                let what = format!("{name} is not a method but has arguments");
                Err(self.failed(first.place, &what))
            }
            _ => {
                let text = self.source.get(first.place.start..first.place.end);
                let text = text.unwrap_or_default();
                let what = format!("can't give argument to non-function {text}");
                Err(self.failed(first.place, &what))
            }
        }
    }

    fn function(
        &mut self,
        command: &'t Command,
        name: &str,
        terms: &'t [Term],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value> {
        let word = command
            .terms
            .first()
            .map_or(command.place, |term| term.place);
        let count = terms.len() + usize::from(piped.is_some());
        call::check_count(name, count).map_err(|what| self.failed(word, &what))?;
        let is_lenient = call::is_lenient(name);
        let mut args = Vec::new();
        for term in terms {
            let value = self.term(term, dot)?;
            match (&value, is_lenient) {
                (Value::Absent(missing), false) => {
                    return Err(self.failed(term.place, &no_entry(missing)));
                }
                _ => args.push(value),
            }
            // The rest may make no sense once one of them decides.
            let decides = match name {
                "and" => Some(false),
                "or" => Some(true),
                _ => None,
            };
            if decides.is_some() && args.last().map(Value::is_true) == decides {
                return Ok(args.pop().unwrap_or(Value::Nil));
            }
        }
        args.extend(piped);
        call::call(name, &args, self.what == What::Head)
            .map_err(|what| self.failed(command.place, &format!("error calling {name}: {what}")))
    }

    /// `.Label "a"`, the one method that rows have: out of `"Labels":"a=b,c=d"`.
    fn method(
        &mut self,
        term: &'t Term,
        args: &'t [Term],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value> {
        let mut given = Vec::new();
        for arg in args {
            given.push(self.term(arg, dot)?);
        }
        given.extend(piped);
        let (Some("Label"), [Value::Text(name)]) =
            (term.fields.first().map(String::as_str), &given[..])
        else {
            return Err(self.failed(term.place, "not a method that takes these arguments"));
        };
        if self.what == What::Head {
            let title = name.rsplit('.').next().unwrap_or_default();
            return Ok(Value::Text(title.replace(['-', '_'], " ")));
        }
        let labels = self.field(dot, "Labels", term.place)?.show();
        let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| key == name);
        Ok(Value::Text(
            found.map_or("", |(_, value)| value).to_string(),
        ))
    }

    fn term(&mut self, term: &'t Term, dot: &Value) -> Result<Value> {
        let mut value = match &term.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                let mut variables = self.variables.iter();
                let found = variables.rfind(|(known, _)| known == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Base::Value(value) => value.clone(),
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
            Base::Function(name) => {
                call::check_count(name, 0).map_err(|what| self.failed(term.place, &what))?;
                let is_head = self.what == What::Head;
                call::call(name, &[], is_head).map_err(|what| self.failed(term.place, &what))?
            }
        };
        for name in &term.fields {
            value = self.field(&value, name, term.place)?;
        }
        Ok(value)
    }

    fn field(&self, value: &Value, name: &str, place: Place) -> Result<Value> {
        let found = value
            .field(name)
            .map_err(|what| self.failed(place, &what))?;
        match (&found, self.what) {
            (Value::Absent(_), What::Row | What::Head) => {
                let mut known = Vec::new();
                for (name, _) in value.members().unwrap_or_default() {
                    known.push(name);
                }
                let known = known.join(", ");
                let what = format!("can't evaluate field {name}; there is {known}");
                Err(self.failed(place, &what))
            }
            _ => Ok(found),
        }
    }
}

const NOWHERE: Place = Place {
    start: 0,
    end: 0,
    at: 0,
};

/// One JSON document as `--format` says.
pub fn document(format: &str, text: &str) -> Result<String> {
    node::Node::new(text, "the engine's answer")?;
    match format {
        "json" => Ok(node::compact(text)),
        format => Template::parse(format)?.render(text.trim(), What::Document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"Id":"abc","Name":"/web","Created":"x","State":{"Pid":7,"Running":true,"Error":""},
        "Mounts":[{"Source":"/x"},{"Source":"/y"}],"HostConfig":{"Binds":null,"PortBindings":{},
        "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"LogConfig":{"Type":"json-file","Config":{}}},
        "Config":{"Cmd":["sleep","100"],"Volumes":null,"Entrypoint":null,"Labels":{"com.x.b":"2","a":"1"}}}"#;

    fn rendered(template: &str) -> String {
        document(template, DOCUMENT).unwrap_or_else(|error| {
            let words = error
                .message
                .strip_prefix("template parsing error: template: ");
            words.unwrap_or(&error.message).to_string()
        })
    }

    fn check(cases: &[(&str, &str)]) {
        for (template, expected) in cases {
            assert_eq!(rendered(template), *expected, "{template}");
        }
    }

    /// What stands on the right is what docker 28.2 prints for a container that says the same.
    #[test]
    fn members_are_shown_as_docker_shows_them() {
        check(&[
            ("{{.Id}}-{{ .State.Pid }} {{.ID}}", "abc-7 abc"),
            ("{{$.Name}}{{(index .Mounts 1).Source}}", "/web/y"),
            ("{{.State.Health}}", "<nil>"),
            (
                "{{.Config.Labels.foo}}{{.Config.Labels.foo.bar}}",
                "<no value><no value>",
            ),
            ("{{.Config.Labels}}", "map[a:1 com.x.b:2]"),
            ("{{index .Config.Labels \"foo\"}}|", "|"),
            ("{{index .Config.Labels \"com.x.b\"}}", "2"),
            (
                "{{.Config.ExposedPorts}} {{len .Config.ExposedPorts}}",
                "map[] 0",
            ),
            ("{{.Config.Volumes}}{{.Config.Entrypoint}}", "map[][]"),
            ("{{.HostConfig.LogConfig}}", "{json-file map[]}"),
            ("{{.HostConfig.RestartPolicy}}", "{no 0}"),
            ("{{.HostConfig.Binds}}{{len .HostConfig.Binds}}", "[]0"),
            ("{{eq .HostConfig.Binds nil}}", "true"),
            ("{{.Config.Cmd}} {{.Mounts}}", "[sleep 100] [{/x} {/y}]"),
            (
                "{{json .State.Error}} {{json .Config.Labels}}",
                "\"\" {\"com.x.b\":\"2\",\"a\":\"1\"}",
            ),
            ("{{json 5}}{{json \"<x>&\"}}{{json nil}}", "5\"<x>&\"null"),
        ]);
    }

    #[test]
    fn blocks_and_variables_work_as_in_go() {
        check(&[
            ("{{range .Mounts}}<{{.Source}}>{{end}}", "</x></y>"),
            (
                "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
                "a=1;com.x.b=2;",
            ),
            (
                "{{range $i, $v := .Config.Cmd}}{{$i}}={{$v}};{{end}}",
                "0=sleep;1=100;",
            ),
            ("{{range $v := .Config.Cmd}}{{$v}};{{end}}", "sleep;100;"),
            ("{{range .HostConfig.Binds}}x{{else}}none{{end}}", "none"),
            ("{{range .State.Health}}x{{else}}none{{end}}", "none"),
            (
                "{{range .Config.Cmd}}{{if eq . \"sleep\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}",
                "100",
            ),
            ("{{$x := .Id}}{{if true}}{{$x = \"y\"}}{{end}}{{$x}}", "y"),
            ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            (
                "{{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}",
                "-",
            ),
            (
                "{{if eq .Name \"x\" \"/web\"}}a{{else if true}}b{{else}}c{{end}}",
                "a",
            ),
            (
                "{{if .State.Error}}a{{else if false}}b{{else}}c{{end}}",
                "c",
            ),
            (
                "{{with .State}}{{.Pid}}{{else}}no{{end}}{{with \"\"}}{{else with 3}}{{.}}{{end}}",
                "73",
            ),
            ("{{with $x := .Name}}{{$x}}{{end}}", "/web"),
            ("{{/* a */}}x{{- /* b */ -}} y", "xy"),
            ("a {{- .Id -}} b{{ .Id}} }} ", "aabcbabc }} "),
        ]);
    }

    #[test]
    fn functions_answer_as_in_go() {
        check(&[
            (
                "{{printf \"%s|%5s|%-5s|%d|%05d|%v|%q|%t|%x|%X\" .Name \"a\" \"b\" 3 42 true \"q\" false 255 \"hi\"}}",
                "/web|    a|b    |3|00042|true|\"q\"|false|ff|6869",
            ),
            (
                "{{printf \"%d\" \"x\"}}{{printf \"%s\" 3}}{{printf \"%z\" 3}}{{printf \"%s\"}}{{printf \"x\" 1}}",
                "%!d(string=x)%!s(int=3)%!z(int=3)%!s(MISSING)x%!(EXTRA int=1)",
            ),
            (
                "{{println 1 \"a\" 2}}{{print 1 2 \"a\" \"b\" 3 4}}",
                "1 a 2\n1 2ab3 4",
            ),
            ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-/web"),
            ("{{slice .Id 0 2}} {{slice .Config.Cmd 1}}", "ab [100]"),
            (
                "{{split .Name \"/\"}}{{join .Config.Cmd \"+\"}}",
                "[ web]sleep+100",
            ),
            (
                "{{title \"hello wOrld\"}} {{pad .Name 2 3}}| {{truncate .Id 2}}",
                "Hello WOrld   /web   | ab",
            ),
            (
                "{{.Id|upper|lower}} {{upper (printf \"%s\" .Name)}}",
                "abc /WEB",
            ),
            (
                "{{and .Id .Name}} {{or \"\" .Name}} {{not .Id}} {{and false (index .Config.Cmd 9)}}",
                "/web /web false false",
            ),
            (
                "{{lt 1 2}} {{ge \"b\" \"a\"}} {{gt 1 2}} {{le 2 2}} {{ne 1 2}}",
                "true true false true true",
            ),
            (
                "{{'a'}} {{0x1f}} {{1.5}} {{-3}} {{index .Id 0}}",
                "97 31 1.5 -3 97",
            ),
            (
                "{{\"a\\tb\\x41\\u00e9\"}} {{`raw \"x\"`}}",
                "a\tbA\u{e9} raw \"x\"",
            ),
        ]);
    }

    #[test]
    fn mistakes_are_told_in_gos_words() {
        check(&[
            (
                "{{.State.Foo}}",
                ":1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"",
            ),
            (
                "\n {{.Foo}}",
                ":2:3: executing \"\" at <.Foo>: map has no entry for key \"Foo\"",
            ),
            (
                "{{  .State.Foo.Bar}}",
                ":1:10: executing \"\" at <.State.Foo.Bar>: map has no entry for key \"Foo\"",
            ),
            (
                "{{index .Config.Cmd 9}}",
                ":1:2: executing \"\" at <index .Config.Cmd 9>: error calling index: index out of range: 9",
            ),
            ("{{foo}}", ":1: function \"foo\" not defined"),
            (
                "{{json}}",
                ":1:2: executing \"\" at <json>: wrong number of args for json: want 1 got 0",
            ),
            ("{{}}", ":1: missing value for command"),
            ("{{.Id", ":1: unclosed action"),
            ("{{end}}", ":1: unexpected {{end}}"),
            ("{{else}}", ":1: unexpected {{else}}"),
            ("{{if .Id}}", ":1: unexpected EOF"),
            ("{{if}}x{{end}}", ":1: missing value for if"),
            (
                "{{if true}}a{{else}}b{{else}}c{{end}}",
                ":1: expected end; found {{else}}",
            ),
            ("{{(.Id}}", ":1: unclosed left paren"),
            ("{{.Id)}}", ":1: unexpected right paren"),
            ("{{\"x}}", ":1: unterminated quoted string"),
            ("{{\"bad \\q\"}}", ":1: invalid syntax"),
            ("{{|}}", ":1: unexpected \"|\" in command"),
            ("{{$x}}", ":1: undefined variable \"$x\""),
            ("{{$a, $b := .Id}}", ":1: too many declarations in command"),
            (
                "{{range $a, $b, $c := .Id}}{{end}}",
                ":1: too many declarations in range",
            ),
            (
                "{{.Id .Id}}",
                ":1:2: executing \"\" at <.Id>: Id is not a method but has arguments",
            ),
            (
                "{{1 2}}",
                ":1:2: executing \"\" at <1>: can't give argument to non-function 1",
            ),
            (
                "{{.Name | 3}}",
                ":1: non executable command in pipeline stage 2",
            ),
            (
                "{{eq .Id 3}}",
                ":1:2: executing \"\" at <eq .Id 3>: error calling eq: incompatible types for comparison",
            ),
            (
                "{{lt 1 \"a\"}}",
                ":1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types for comparison",
            ),
            (
                "{{nil}}",
                ":1:2: executing \"\" at <nil>: nil is not a command",
            ),
            (
                "{{range .Name}}x{{end}}",
                ":1:8: executing \"\" at <.Name>: range can't iterate over /web",
            ),
            (
                "{{index .Config.Cmd \"a\"}}",
                ":1:2: executing \"\" at <index .Config.Cmd \"a\">: error calling index: cannot index slice/array with type string",
            ),
            ("{{break}}", ":1: {{break}} outside {{range}}"),
            ("{{block \"x\" .}}{{end}}", ":1: {{block}} is not supported"),
        ]);
        for deep in [
            format!("{{{{{}.{}}}}}", "(".repeat(1000), ")".repeat(1000)),
            "{{if 1}}".repeat(1000),
            "{{if 0}}{{else if 1}}".repeat(1000),
        ] {
            assert!(rendered(&deep).contains("nested too deeply"));
        }
    }

    #[test]
    fn whatever_is_typed_ends_in_text_or_in_an_error() {
        let words = [
            "{{",
            "}}",
            "-}}",
            "{{- ",
            "(",
            ")",
            "|",
            ".Id",
            ".",
            "$x",
            ":=",
            "=",
            ",",
            "\"",
            "`",
            "'",
            " ",
            "\u{e9}",
            "if",
            "range",
            "else",
            "end",
            "with",
            "printf",
            "index",
            "slice",
            "9",
            "-1",
            "\\",
            "%",
            "/*",
            "*/",
            "break",
            "nil",
            "true",
            "{{end}}",
            "{{if .Id}}",
            "{{range .Config.Cmd}}",
            "\n",
        ];
        let mut state = 88_172_645_463_325_252_u64;
        for _ in 0..20_000 {
            let mut template = String::new();
            for _ in 0..state % 12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                template.push_str(words[(state % words.len() as u64) as usize]);
            }
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let _ = document(&template, DOCUMENT);
        }
    }
}
