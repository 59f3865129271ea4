"""
Every AGI command of Asterisk 22, as a coroutine with its result named.

Timeouts are seconds here; Asterisk expects milliseconds. Escape digits are the keys that interrupt
a playback; none by default. Each command raises what ``AgiSession.send`` raises, and
``ActionFailed`` where Asterisk reports a failure (usually the caller has hung up). Commands that
work after the caller has hung up are marked; the others then raise ``DeadChannel``.
"""

from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from datetime import datetime
from urllib.parse import unquote

from fastagi_server import results
from fastagi_server.errors import ActionFailed, UnknownApplication
from fastagi_server.results import ChannelState, Digits, Played, Recognized, Recorded
from fastagi_server.wire import Reply, command, set_variables


class Commands:
    """The commands of a session."""

    @abstractmethod
    def send(self, line: bytes) -> Awaitable[Reply]:
        """Send one encoded command at once; await its own reply."""

    def _ask(self, name: str, *arguments: object) -> Awaitable[Reply]:
        return self.send(command(name, *[str(argument) for argument in arguments]))

    # Variables. All of these work after the caller has hung up.

    async def get(self, name: str) -> str | None:
        """Read one variable or function, unevaluated; None if it is not set."""
        reply = await self.send(command("GET VARIABLE", name))
        return reply.value if reply.result == "1" else None

    async def get_full(self, expression: str, channel: str = "") -> str:
        """
        Evaluate a dialplan expression such as ``${A}|${LEN(${B})}``; empty if unset.

        ``channel``: of another channel; ActionFailed if it does not exist.
        """
        reply = await self._ask("GET FULL VARIABLE", expression, *_given(channel))
        if results.number(reply) == 0:
            raise ActionFailed(f"no channel {channel}")
        return reply.value or ""

    async def set(self, name: str, value: str) -> None:
        """Set one variable or function to a text without control characters."""
        reply = await self.send(command("SET VARIABLE", name, value))
        if reply.result != "1":
            results.done(reply)

    async def get_many(self, *names: str) -> tuple[str, ...]:
        """
        Several variables or functions in one round trip, empty where unset. Values are encoded
        (``URIENCODE``), so a newline in a value is kept; ``get`` cannot carry one.
        """
        text = await self.get_full("|".join([f"${{URIENCODE(${{{name}}})}}" for name in names]))
        values = tuple(unquote(value, errors="surrogateescape") for value in text.split("|"))
        if len(values) != len(names):
            raise ActionFailed(f"{len(values)} values for {len(names)} names: {text[:80]!r}")
        return values

    async def set_many(self, values: Mapping[str, str]) -> None:
        """Set several to texts without control characters in one round trip (``EXEC MSet``)."""
        results.number(await self.send(set_variables(values)))

    # AstDB and the log. All of these work after the caller has hung up.

    async def database_get(self, family: str, key: str) -> str | None:
        """An entry of AstDB; None if it does not exist."""
        reply = await self._ask("DATABASE GET", family, key)
        return reply.value if results.number(reply) == 1 else None

    async def database_put(self, family: str, key: str, value: str) -> None:
        """Write an entry."""
        results.done(await self._ask("DATABASE PUT", family, key, value))

    async def database_del(self, family: str, key: str) -> None:
        """Delete an entry. Asterisk 22 answers 1 whether it existed or not."""
        results.done(await self._ask("DATABASE DEL", family, key))

    async def database_deltree(self, family: str, keytree: str = "") -> None:
        """
        Delete a family, or a part of it. (Asterisk 22 answers 0 if something was deleted, 1 if
        not; the number is ignored.)
        """
        results.number(await self._ask("DATABASE DELTREE", family, *_given(keytree)))

    async def verbose(self, message: str, level: int = 1) -> None:
        """A line for Asterisk's console and log; ``level`` from 1 to 4."""
        results.done(await self._ask("VERBOSE", message, level))

    async def noop(self, text: str = "") -> None:
        """Does nothing; ``agi set debug on`` shows it in the log."""
        results.number(await self._ask("NOOP", *_given(text)))

    # The dialplan.

    async def execute(self, application: str, options: str = "") -> int:
        """
        Run a dialplan application, also after the caller has hung up; returns its result.

        Functions and variables in ``options`` are evaluated only if the channel has
        ``AGIEXECFULL=yes``.

        Raises:
            UnknownApplication: it does not exist, or its module is not loaded.
            ActionFailed: the application ended with -1: usually the caller hung up.
        """
        reply = await self._ask("EXEC", application, options)
        if reply.result == "-2":
            raise UnknownApplication(application)
        return results.number(reply)

    async def gosub(
        self, context: str, extension: str, priority: str = "1", *arguments: str
    ) -> None:
        """
        Run a subroutine of the dialplan and return at its Return().

        ActionFailed if the place does not exist. A comma in an argument splits the argument.
        """
        given = (",".join(arguments),) if arguments else ()
        results.number(await self._ask("GOSUB", context, extension, priority, *given))

    async def set_context(self, context: str) -> None:
        """Where the dialplan goes on when the script has ended."""
        results.number(await self._ask("SET CONTEXT", context))

    async def set_extension(self, extension: str) -> None:
        """Where the dialplan goes on when the script has ended."""
        results.number(await self._ask("SET EXTENSION", extension))

    async def set_priority(self, priority: str) -> None:
        """A number or a label; UsageError if it does not exist."""
        results.number(await self._ask("SET PRIORITY", priority))

    async def async_agi_break(self) -> None:
        """Return an Async AGI channel to the dialplan; no effect on other channels."""
        results.number(await self._ask("ASYNCAGI BREAK"))

    # The channel.

    async def answer(self) -> None:
        """Answer, if not answered yet."""
        results.number(await self._ask("ANSWER"))

    async def hangup(self, channel: str = "") -> None:
        """Hang up this channel or another; ActionFailed if it does not exist."""
        results.done(await self._ask("HANGUP", *_given(channel)))

    async def channel_status(self, channel: str = "") -> ChannelState:
        """The state of this channel or another; ActionFailed if it does not exist."""
        return ChannelState(results.number(await self._ask("CHANNEL STATUS", *_given(channel))))

    async def set_autohangup(self, seconds: int) -> None:
        """Hang up automatically after this many seconds; 0: switch that off."""
        results.number(await self._ask("SET AUTOHANGUP", seconds))

    async def set_callerid(self, text: str) -> None:
        """Number, or ``"Name" <number>``; set a name typed by people with CALLERID(name)."""
        results.done(await self._ask("SET CALLERID", text))

    async def set_music(self, on: bool, music_class: str = "") -> None:
        """Music on hold; a playback ends it."""
        arguments = ("ON", *_given(music_class)) if on else ("OFF",)
        results.number(await self._ask("SET MUSIC", *arguments))

    async def tdd_mode(self, on: bool) -> bool:
        """Text telephony for the deaf; False: the channel does not support it."""
        return results.number(await self._ask("TDD MODE", "on" if on else "off")) == 1

    # Sounds and digits. File names go without their extension.

    async def stream_file(self, file: str, escape: str = "", offset: int = 0) -> Played:
        """Play a file; ActionFailed if it does not exist. ``offset``: samples."""
        return results.played(await self._ask("STREAM FILE", file, escape, offset))

    async def control_stream_file(  # noqa: PLR0913  # Asterisk's command has so many
        self, file: str, escape: str = "", *, skip: int = 3000, forward: str = "#",
        rewind: str = "*", pause: str = "", offset: int = 0,
    ) -> Played:  # fmt: skip
        """Play a file that the caller winds with keys; ``skip`` and ``offset`` in milliseconds."""
        keys = (forward, rewind, pause)
        reply = await self._ask("CONTROL STREAM FILE", file, escape, skip, *keys, offset)
        return results.played(reply)

    async def get_option(self, file: str, escape: str, timeout: float = 5.0) -> Played:
        """Play a file and wait for one of the escape digits."""
        return results.played(await self._ask("GET OPTION", file, escape, _ms(timeout)))

    async def get_data(self, file: str, timeout: float = 6.0, most: int = 1024) -> Digits:
        """Play a file and read digits up to ``#``, ``most`` of them, or the timeout."""
        return results.digits(await self._ask("GET DATA", file, _ms(timeout), most))

    async def wait_for_digit(self, timeout: float = -1) -> str:
        """A key, or empty after the timeout; below 0: wait as long as the session lives."""
        return results.digit(await self._ask("WAIT FOR DIGIT", _ms(timeout)))

    async def record_file(  # noqa: PLR0913  # Asterisk's command has so many
        self, file: str, sound: str = "wav", escape: str = "#", timeout: float = -1, *,
        offset: int = 0, beep: bool = False, silence: int = 0,
    ) -> Recorded:  # fmt: skip
        """
        Record the caller until a key, the timeout, or ``silence`` seconds without a sound.

        ``offset``: samples into an existing file.
        """
        rest: list[object] = [offset, *(("BEEP",) if beep else ())]
        rest += [f"s={silence}"] if silence else []
        arguments = (file, sound, escape, _ms(timeout), *rest)
        return results.recorded(await self._ask("RECORD FILE", *arguments))

    async def say_alpha(self, text: str, escape: str = "") -> str:
        """Spell a text; the key that interrupted it, or empty."""
        return results.digit(await self._ask("SAY ALPHA", text, escape))

    async def say_digits(self, number: str, escape: str = "") -> str:
        """Say digit after digit."""
        return results.digit(await self._ask("SAY DIGITS", number, escape))

    async def say_number(self, number: int, escape: str = "", gender: str = "") -> str:
        """Say a number; ``gender``: f, m, n, or as the language requires."""
        return results.digit(await self._ask("SAY NUMBER", number, escape, *_given(gender)))

    async def say_phonetic(self, text: str, escape: str = "") -> str:
        """Spell a text as alpha, bravo, charlie."""
        return results.digit(await self._ask("SAY PHONETIC", text, escape))

    async def say_date(self, moment: datetime, escape: str = "") -> str:
        """Say the date of an aware moment, in the server's time zone."""
        return results.digit(await self._ask("SAY DATE", _epoch(moment), escape))

    async def say_time(self, moment: datetime, escape: str = "") -> str:
        """Say the time of an aware moment, in the server's time zone."""
        return results.digit(await self._ask("SAY TIME", _epoch(moment), escape))

    async def say_datetime(
        self, moment: datetime, escape: str = "", form: str = "ABdY 'digits/at' IMp",
        zone: str = "",
    ) -> str:  # fmt: skip
        """Say a moment in a format of voicemail.conf; ``zone`` as ``Europe/Moscow``."""
        arguments = (_epoch(moment), escape, form, *_given(zone))
        return results.digit(await self._ask("SAY DATETIME", *arguments))

    # Text and pictures, for channels that carry them.

    async def receive_char(self, timeout: float = 0) -> str:
        """
        A character, or empty after the timeout; 0: wait as long as the session lives.
        ActionFailed on a channel that carries no text.
        """
        return results.digit(await self._ask("RECEIVE CHAR", _ms(timeout)))

    async def receive_text(self, timeout: float = 0) -> str:
        """A text; ActionFailed if none came."""
        reply = await self._ask("RECEIVE TEXT", _ms(timeout))
        results.done(reply)
        return reply.value or ""

    async def send_text(self, text: str) -> None:
        """Shown by phones that support text; others ignore it."""
        results.number(await self._ask("SEND TEXT", text))

    async def send_image(self, image: str) -> None:
        """Shown by phones that support pictures; others ignore it."""
        results.number(await self._ask("SEND IMAGE", image))

    # Speech, for an Asterisk with an engine.

    async def speech_create(self, engine: str) -> None:
        """Begin; ActionFailed if the engine does not exist."""
        results.done(await self._ask("SPEECH CREATE", engine))

    async def speech_set(self, name: str, value: str) -> None:
        """Set an option of the engine."""
        results.done(await self._ask("SPEECH SET", name, value))

    async def speech_destroy(self) -> None:
        """End; works after the caller has hung up."""
        results.done(await self._ask("SPEECH DESTROY"))

    async def speech_load_grammar(self, name: str, path: str) -> None:
        """Load a grammar under a name."""
        results.done(await self._ask("SPEECH LOAD GRAMMAR", name, path))

    async def speech_unload_grammar(self, name: str) -> None:
        """Unload a grammar; works after the caller has hung up."""
        results.done(await self._ask("SPEECH UNLOAD GRAMMAR", name))

    async def speech_activate_grammar(self, name: str) -> None:
        """Recognize this grammar from now on."""
        results.done(await self._ask("SPEECH ACTIVATE GRAMMAR", name))

    async def speech_deactivate_grammar(self, name: str) -> None:
        """Recognize this grammar no longer."""
        results.done(await self._ask("SPEECH DEACTIVATE GRAMMAR", name))

    async def speech_recognize(self, prompt: str, timeout: float, offset: int = 0) -> Recognized:
        """Play a prompt and recognize speech; digits also end it."""
        reply = await self._ask("SPEECH RECOGNIZE", prompt, _ms(timeout), *_given(offset))
        return results.recognized(reply)


def _given(argument: object) -> tuple[object, ...]:
    """An optional last argument, left out if it is empty."""
    return (argument,) if argument else ()


def _ms(seconds: float) -> int:
    return round(1000 * seconds) if seconds >= 0 else -1


def _epoch(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError(f"which time zone? {moment!r}")
    return int(moment.timestamp())
