"""Every setting of a profile, with its type, range and default.

Safety flags are false unless a parsed boolean says true; secrets live in the vault, never here.
"""

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
)

_URL_LIMIT = 2000


def is_loopback(host: str) -> bool:
    """Whether ``host`` is a literal loopback address, or ``localhost``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_base_url(text: str) -> str:
    if len(text) > _URL_LIMIT or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError("a URL has no spaces or control characters and at most 2000 characters")
    url = urlsplit(text)
    port = url.port  # raises ValueError itself when it is no port
    if not url.hostname or port == 0:
        raise ValueError("a URL needs a host, as in https://api.example.com")
    if "@" in url.netloc:
        raise ValueError("a URL must hold no user name or password; secrets go to the vault")
    if "?" in text or "#" in text:
        raise ValueError("a base URL has no query and no fragment")
    if url.scheme == "http" and is_loopback(url.hostname):
        return text.rstrip("/")
    if url.scheme != "https":
        raise ValueError("a URL must start with https://, or http:// on a loopback address")
    return text.rstrip("/")


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("an amount of money is a number, not a boolean")
    return value


def _absolute(path: Path) -> Path:
    expanded = path.expanduser()
    if not expanded.is_absolute() or "\0" in str(path):
        raise ValueError("a program is given by an absolute path, or one that starts with ~")
    return expanded


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("each entry may stand there once only")
    return values


BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
Usd = Annotated[
    Decimal,
    BeforeValidator(_no_boolean),
    Field(ge=0, le=1_000_000, decimal_places=6, allow_inf_nan=False),
]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/\[\]@-]{0,127}$")]
RepoName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Program = Annotated[Path, AfterValidator(_absolute)]
Family = Literal["openai", "gemini", "claude"]
Tokens = Annotated[StrictInt, Field(ge=0, le=10**12)]


class Section(BaseModel):
    """A frozen group of settings that refuses names it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class System(Section):
    """What concerns the whole cockpit (domain.md §13: remote writes are off)."""

    allow_remote_writes: StrictBool = False
    remote_write_repos: Annotated[tuple[RepoName, ...], AfterValidator(_distinct)] = ()
    language: Literal["en", "zh"] = "en"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_parallel_runs: Annotated[StrictInt, Field(ge=1, le=64)] = 2
    disk_floor_mb: Annotated[StrictInt, Field(ge=0, le=10_000_000)] = 2000
    vault: Literal["auto", "keyring", "file"] = "auto"


class PlannerSettings(Section):
    """The planner's CLI; without a model, the provider's (domain.md §5)."""

    kind: Literal["claude"] = "claude"
    model: ModelName | None = None
    timeout_seconds: Annotated[StrictInt, Field(ge=10, le=7200)] = 600


class CoderSettings(Section):
    """The coder's CLI (domain.md §7); without a path it is looked for on PATH."""

    kind: Literal["claude"] = "claude"
    model: ModelName | None = None
    timeout_seconds: Annotated[StrictInt, Field(ge=10, le=86_400)] = 1800
    cli: Program | None = None


class ValidatorSettings(Section):
    """Who judges evidence (domain.md §11)."""

    families: Annotated[tuple[Family, ...], AfterValidator(_distinct)] = ("openai", "gemini")
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=600)] = 60
    retries: Annotated[StrictInt, Field(ge=0, le=5)] = 2


class ReviewerSettings(Section):
    """The optional reviewer (domain.md §11)."""

    enabled: StrictBool = False
    model: ModelName | None = None


class ClaudeProvider(Section):
    """Where Claude models answer. A paid key is used only when ``auth`` says so."""

    base_url: BaseUrl | None = None
    model: ModelName = "sonnet"
    cli: Program | None = None
    auth: Literal["subscription", "api_key"] = "subscription"


class OpenAIProvider(Section):
    """Where OpenAI models answer."""

    base_url: BaseUrl | None = None
    model: ModelName = "gpt-5"


class GeminiProvider(Section):
    """Where Gemini models answer."""

    base_url: BaseUrl | None = None
    model: ModelName = "gemini-2.5-pro"


class Providers(Section):
    """The model providers; no base URL means the provider's own."""

    claude: ClaudeProvider = ClaudeProvider()
    openai: OpenAIProvider = OpenAIProvider()
    gemini: GeminiProvider = GeminiProvider()


class GithubForgeSettings(Section):
    """GitHub's REST roots."""

    base_url: BaseUrl = "https://api.github.com"
    upload_url: BaseUrl = "https://uploads.github.com"


class ForgeSettings(Section):
    """Where pull requests live."""

    github: GithubForgeSettings = GithubForgeSettings()


class Budgets(Section):
    """Caps (domain.md §14). Money in US dollars; tokens uncapped unless given."""

    calls_per_mission: Annotated[StrictInt, Field(ge=0, le=100_000)] = 30
    calls_per_day: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 120
    coder_api_usd: Usd = Decimal(0)
    planner_api_usd: Usd = Decimal(0)
    validators_mission_usd: Usd = Decimal(2)
    validators_day_usd: Usd = Decimal(10)
    tokens_per_mission: Tokens | None = None
    tokens_per_day: Tokens | None = None


class Settings(Section):
    """The whole configuration of a profile (architecture.md, "Rules of the house")."""

    system: System = System()
    planner: PlannerSettings = PlannerSettings()
    coder: CoderSettings = CoderSettings()
    validators: ValidatorSettings = ValidatorSettings()
    reviewer: ReviewerSettings = ReviewerSettings()
    providers: Providers = Providers()
    forge: ForgeSettings = ForgeSettings()
    budgets: Budgets = Budgets()
