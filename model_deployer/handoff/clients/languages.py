"""The languages of the clients: how each writes identifiers, texts, numbers, comments and types."""

import html
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from model_deployer.contract.features import MAX_AXES

#: The length of a text beyond that the comments of a client show its beginning only.
_SKETCHED_CHARACTERS = 200

#: The number of numbers of a list that the comments of a client show.
SKETCHED_NUMBERS = 4

#: The number of numbers of a literal: a method of Java has at most 64 KiB.
MAX_LITERAL_NUMBERS = 2_000

#: Numbers of one type, int or float, or such tuples.
Numbers = tuple[Any, ...]

#: A value of a field.
Value = str | float | bool | Numbers | None

#: Lists as in JSON.
_JSON_LISTS = {"float": ("[", "", "]"), "int": ("[", "", "]")}

#: The maximum length of a line in a comment.
_WIDTH = 100


@dataclass(frozen=True)
class Toolchain:
    """Tools that can run the check of a client.

    Attributes:
        tools: The programs that must be on the PATH.
        command: The command to run in the package's folder, with ``URL`` in the environment.
        version: A command whose first line of output is the version of the tools.
        probe: A command that succeeds if the tools are suitable; None if any version is.
    """

    tools: tuple[str, ...]
    command: str
    version: str = ""
    probe: str | None = None


@dataclass(frozen=True, eq=False)
class Language:
    """A language of the clients.

    Attributes:
        name: The official name of the language.
        folder: The folder of its templates, and of its client below examples/clients/ of a package.
        tool: The name of the tool that must be installed.
        needs: The required tools with their versions, in words.
        toolchains: The toolchains that can run the check; the first that works on this machine is used.
        types: The type of a value, by the kind of its feature; "numbers" and "integers" for lists, and "numbers_2" for
            lists in lists.
        map_type: The type of numbers by text.
        identifier: Joins words to an identifier.
        reserved: Identifiers that a field cannot have.
        escape: Returns the escape sequence of an unprintable character, from its code point.
        escaped: Characters in a text that need a backslash, in addition to the quote and the backslash.
        null, booleans: The literals.
        lists: For lists of float and of int: what comes before the items, after each of them, and at the end.
        nesting: What comes before a list once more for each level of lists in it.
        repeated: A list of equal items, with their ``count`` and the ``item``, for a language that limits literals.
        comment: Replaces characters that a comment cannot contain.
    """

    name: str
    folder: str
    tool: str
    needs: str
    toolchains: tuple[Toolchain, ...]
    types: Mapping[str, str]
    map_type: str
    identifier: Callable[[list[str]], str]
    reserved: frozenset[str]
    escape: Callable[[int], str]
    escaped: str = ""
    null: str = "null"
    booleans: tuple[str, str] = ("false", "true")
    lists: Mapping[str, tuple[str, str, str]] = field(default_factory=_JSON_LISTS.copy)
    nesting: str = ""
    repeated: str = ""
    comment: Callable[[str], str] = str

    def identifiers(self, names: Iterable[str]) -> list[str]:
        """Return a different identifier for each name, in the same order."""
        identifiers: list[str] = []
        for position, name in enumerate(names, start=1):
            preferred = identifier = self._identifier(name, position)
            number = 1
            while identifier in identifiers:
                number += 1
                identifier = f"{preferred}_{number}"
            identifiers.append(identifier)
        return identifiers

    def _identifier(self, name: str, position: int) -> str:
        words = split_words(name) or ["field", str(position)]
        if words[0][0].isdigit():
            words = ["field", *words]
        identifier = self.identifier(words)
        return f"{identifier}_" if identifier in self.reserved else identifier

    def quote(self, text: str) -> str:
        """Return a text as a literal in double quotes."""
        return '"' + "".join(map(self._character, text)) + '"'

    def sketch(self, value: Value) -> str:
        """Return a value as a literal in a comment: only the beginning of a long list and of a file."""
        if isinstance(value, str) and len(value) > _SKETCHED_CHARACTERS:
            return self.quote(f"{value[:SKETCHED_NUMBERS]}...")
        if not isinstance(value, tuple):
            return self.literal(value)
        shown = value[:1] if isinstance(value[0], tuple) else value[:SKETCHED_NUMBERS]
        return self._list(shown, self.sketch, ", ..." if len(value) > len(shown) else "")

    def literal(self, value: Value) -> str:
        """Return a value as a literal."""
        match value:
            case tuple() if self.repeated and is_long(value) and len(set(value)) == 1:
                return self.repeated.format(count=len(value), item=self.literal(value[0]))
            case tuple():
                return self._list(value, self.literal)
            case None:
                return self.null
            case str():
                return self.quote(value)
            case bool():
                return self.booleans[value]
        return repr(value)

    def _list(self, items: Numbers, write: Callable[[Value], str], rest: str = "") -> str:
        """Return a list as a literal.

        Args:
            items: The items.
            write: Returns an item that is a list as a literal.
            rest: What follows the items.
        """
        opening, suffix, end = self.lists[_item_type(items)]
        opening = self.nesting * (_axes(items) - 1) + opening
        written = (write(item) if isinstance(item, tuple) else f"{item!r}{suffix}" for item in items)
        return f"{opening}{', '.join(written)}{rest}{end}"

    def _character(self, character: str) -> str:
        if character in '"\\' + self.escaped:
            return "\\" + character
        if character in _ESCAPES:
            return _ESCAPES[character]
        return character if character.isprintable() else self.escape(ord(character))

    def comment_lines(self, text: str, prefix: str) -> str:
        """Return a text as the lines of a comment, each except the first behind ``prefix``."""
        text = self.comment(single_line(text))
        lines = textwrap.wrap(text, _WIDTH - len(prefix), break_long_words=False, break_on_hyphens=False)
        return f"\n{prefix}".join(lines)


def _item_type(numbers: Numbers) -> str:
    if isinstance(numbers[0], tuple):
        return _item_type(numbers[0])
    return "int" if all(isinstance(number, int) for number in numbers) else "float"


def _axes(numbers: Numbers) -> int:
    return 1 + _axes(numbers[0]) if isinstance(numbers[0], tuple) else 1


def is_long(numbers: Numbers) -> bool:
    """Return whether nested tuples have more numbers than a literal of every language can have."""
    size = 1
    inner: Any = numbers
    while isinstance(inner, tuple):
        size, inner = size * len(inner), inner[0]
    return size > MAX_LITERAL_NUMBERS


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def split_words(name: str) -> list[str]:
    """Return the ASCII words of a name in lower case: ``Ends at (m)`` gives ``ends``, ``at`` and ``m``."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return [word.lower() for word in re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", ascii_only)]


def single_line(text: str) -> str:
    """Return a text on one line, without unprintable characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def is_go_tag(name: str) -> bool:
    """Return whether Go's encoding/json accepts a name in the tag of a field."""
    return all(character.isalnum() or character in "!#$%&()*+-./:;<=>?@[]^_{|}~ " for character in name)


def typescript_key(name: str) -> str:
    """Return a name as the key of an object in TypeScript, quoted if necessary."""
    if name == "__proto__":
        return '["__proto__"]'
    return name if re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", name) else TYPESCRIPT.quote(name)


def _snake(words: list[str]) -> str:
    return "_".join(words)


def _pascal(words: list[str]) -> str:
    return "".join(word.capitalize() for word in words)


def _camel(words: list[str]) -> str:
    return words[0] + _pascal(words[1:])


def _escape_in_braces(point: int) -> str:
    return f"\\u{{{point:x}}}"


def _escape_long(point: int) -> str:
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _escape_utf16(point: int) -> str:
    units = chr(point).encode("utf-16-be")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))


def _block(text: str) -> str:
    return text.replace("*/", "* /")


def _javadoc(text: str) -> str:
    return _block(html.escape(text, quote=False)).replace("\\", "&#92;").replace("@", "&#64;").replace("{", "&#123;")


def _godoc(text: str) -> str:
    """Replace two backticks or two apostrophes by a quote, as gofmt does."""
    return text.replace("``", "“").replace("''", "”")


def _xml(text: str) -> str:
    return html.escape(text, quote=False)


def _docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _types(numeric: str, integer: str, boolean: str, text: str, lists: str) -> dict[str, str]:
    """Return the types of values as :attr:`Language.types` has them; ``lists`` is a list of ``T``."""
    kinds = {"numeric": numeric, "integer": integer, "boolean": boolean}
    boxed = {"double": "Double", "long": "Long"} if "<T>" in lists and numeric == "double" else {}
    items = {"numbers": numeric, "integers": integer}
    kinds |= {kind: lists.replace("T", boxed.get(item, item)) for kind, item in items.items()}
    for axes in range(2, MAX_AXES + 1):
        for kind in items:
            inner = kind if axes == 2 else f"{kind}_{axes - 1}"
            kinds[f"{kind}_{axes}"] = lists.replace("T", kinds[inner])
    return kinds | dict.fromkeys(("categorical", "datetime", "text", "image"), text)


_SAMPLES = "examples/sample_requests.json"
_UP = "../../sample_requests.json"

PYTHON = Language(
    name="Python",
    folder="python",
    tool="Python",
    needs="Python 3.11 or newer with httpx",
    toolchains=(Toolchain(("python",), f"python examples/clients/python/check.py {_SAMPLES}", "python --version"),),
    types=_types("float", "int", "bool", "str", "list[T]"),
    map_type="dict[str, float]",
    # The keys of a TypedDict are the names of the fields themselves.
    identifier=_snake,
    reserved=frozenset(),
    escape=_escape_long,
    null="None",
    booleans=("False", "True"),
    comment=_docstring,
)

TYPESCRIPT = Language(
    name="TypeScript",
    folder="typescript",
    tool="Node.js",
    needs="Node.js 22.18 or newer, nothing else; with Node.js 20, esbuild from npm",
    toolchains=(
        Toolchain(
            ("node",),
            f"node examples/clients/typescript/check.ts {_SAMPLES}",
            version="node --version",
            probe="node -e 'process.exit(process.features.typescript ? 0 : 1)'",
        ),
        Toolchain(
            ("node", "npx"),
            "npx --yes esbuild examples/clients/typescript/check.ts --bundle --platform=node --format=esm"
            f" --log-level=error | node --input-type=module - {_SAMPLES}",
            version="node --version",
            probe="npx --yes esbuild --version",
        ),
    ),
    types=_types("number", "number", "boolean", "string", "T[]"),
    map_type="Record<string, number>",
    # The keys of an interface are the names of the fields themselves, in quotes.
    identifier=_camel,
    reserved=frozenset(),
    escape=_escape_in_braces,
    comment=_block,
)

JAVA = Language(
    name="Java",
    folder="java",
    tool="a JDK",
    needs="a JDK, 17 or newer, nothing else",
    toolchains=(
        Toolchain(
            ("javac", "java"),
            "cd examples/clients/java && javac -encoding UTF-8 -d build src/*.java src/*/*.java"
            f" && java -cp build Check {_UP}",
            "javac -version",
        ),
    ),
    types=_types("double", "long", "boolean", "String", "List<T>"),
    map_type="Map<String, Double>",
    identifier=_camel,
    reserved=_words(
        "abstract assert boolean break byte case catch char class const continue default do double else enum extends "
        "final finally float for goto if implements import instanceof int interface long native new package private "
        "protected public return short static strictfp super switch synchronized this throw throws transient try void "
        "volatile while true false null var yield record sealed permits wait notify notifyAll getClass hashCode equals "
        "clone finalize toString toJson values"
    ),
    lists={"float": ("List.of(", "", ")"), "int": ("List.of(", "L", ")")},
    repeated="java.util.Collections.nCopies({count}, {item})",
    escape=_escape_utf16,
    comment=_javadoc,
)

GO = Language(
    name="Go",
    folder="go",
    tool="Go",
    needs="Go 1.19 or newer, nothing else",
    toolchains=(
        Toolchain(
            ("go",), f"cd examples/clients/go && go build -o build/check ./check && build/check {_UP}", "go version"
        ),
    ),
    types=_types("float64", "int64", "bool", "string", "[]T"),
    map_type="map[string]float64",
    identifier=_pascal,
    reserved=frozenset(),
    lists={"float": ("[]float64{", "", "}"), "int": ("[]int64{", "", "}")},
    nesting="[]",
    escape=_escape_long,
    comment=_godoc,
)

CSHARP = Language(
    name="C#",
    folder="csharp",
    tool=".NET or Mono",
    needs=".NET 8 or newer, or Mono 6, nothing else",
    toolchains=(
        Toolchain(("dotnet",), f"dotnet run --project examples/clients/csharp -- {_SAMPLES}", "dotnet --version"),
        Toolchain(
            ("mcs", "mono"),
            "cd examples/clients/csharp && mcs -langversion:7 -r:System.Net.Http -out:check.exe *.cs"
            f" && mono check.exe {_UP}",
            "mono --version",
        ),
    ),
    types=_types("double", "long", "bool", "string", "T[]"),
    map_type="IReadOnlyDictionary<string, double>",
    identifier=_pascal,
    reserved=_words("Row ToJson Equals GetHashCode GetType ToString MemberwiseClone Finalize ReferenceEquals"),
    lists={"float": ("new[] { ", "", " }"), "int": ("new[] { ", "L", " }")},
    escape=_escape_utf16,
    comment=_xml,
)

PHP = Language(
    name="PHP",
    folder="php",
    tool="PHP with its curl extension",
    needs="PHP 8.1 or newer with its curl extension",
    toolchains=(
        Toolchain(
            ("php",),
            f"php examples/clients/php/check.php {_SAMPLES}",
            version="php --version",
            probe="php -r 'exit(extension_loaded(\"curl\") && PHP_VERSION_ID >= 80100 ? 0 : 1);'",
        ),
    ),
    types=_types("float", "int", "bool", "string", "array"),
    map_type="array<string, float>",
    identifier=_camel,
    reserved=_words("this"),
    escape=_escape_in_braces,
    escaped="$",
    comment=_block,
)

RUBY = Language(
    name="Ruby",
    folder="ruby",
    tool="Ruby",
    needs="Ruby 3.0 or newer, nothing else",
    toolchains=(Toolchain(("ruby",), f"ruby examples/clients/ruby/check.rb {_SAMPLES}", "ruby --version"),),
    types=_types("Float", "Integer", "Boolean", "String", "Array<T>"),
    map_type="Hash{String => Float}",
    identifier=_snake,
    reserved=_words(
        "alias and begin break case class def defined do else elsif end ensure false for if in module next nil not or "
        "redo rescue retry return self super then true undef unless until when while yield hash display dup clone "
        "freeze frozen send method methods object_id itself tap inspect extend to_s to_h to_json initialize raise"
    ),
    escape=_escape_in_braces,
    escaped="#",
    null="nil",
)

RUST = Language(
    name="Rust",
    folder="rust",
    tool="Rust",
    needs="Rust 1.63 or newer; cargo fetches ureq, serde and serde_json",
    toolchains=(Toolchain(("cargo",), f"cd examples/clients/rust && cargo run --quiet -- {_UP}", "rustc --version"),),
    types=_types("f64", "i64", "bool", "String", "Vec<T>"),
    map_type="BTreeMap<String, f64>",
    identifier=_snake,
    reserved=_words(
        "as async await break const continue crate dyn else enum extern false fn for gen if impl in let loop match mod "
        "move mut pub ref return self static struct super trait true type unsafe use where while abstract become box "
        "do final macro override priv try typeof unsized virtual yield"
    ),
    lists={"float": ("vec![", "", "]"), "int": ("vec![", "", "]")},
    escape=_escape_in_braces,
)

CURL = Language(
    name="curl",
    folder="curl",
    tool="curl or jq",
    needs="a POSIX shell and curl; the check also jq",
    toolchains=(Toolchain(("curl", "jq"), f"sh examples/clients/curl/check.sh {_SAMPLES}", "curl --version"),),
    types=_types("number", "integer", "boolean", "string", "list of T"),
    map_type="object of numbers",
    identifier=_snake,
    reserved=frozenset(),
    escape=_escape_utf16,
)

LANGUAGES = (PYTHON, TYPESCRIPT, JAVA, GO, CSHARP, PHP, RUBY, RUST, CURL)
