"""The settings of notifications: where alerts go, and after how much time a run counts as late or stuck."""

from collections.abc import Mapping
from email.utils import parseaddr
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

SHORTEST = 10
"""The smallest number of seconds that Prefect accepts as the time window of an automation."""

PREFIXES = ("ALERT_", "SMTP_")


class AlertSettings(BaseModel):
    """The settings of notifications. Each field is the variable with its name in upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    alert_webhook_url: SecretStr | None = None
    alert_email_to: str = ""
    alert_email_from: str = ""
    alert_late_seconds: int = Field(default=300, ge=SHORTEST)
    alert_pending_seconds: int = Field(default=600, ge=SHORTEST)
    alert_stuck_seconds: int = Field(default=7200, ge=SHORTEST)
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: SecretStr | None = None
    smtp_security: Literal["starttls", "ssl", "none"] = "starttls"

    @field_validator("alert_webhook_url")
    @classmethod
    def _is_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("expected a URL that begins with http:// or https://")
        return url

    @field_validator("alert_email_to", "alert_email_from")
    @classmethod
    def _are_addresses(cls, text: str) -> str:
        for address in _split(text):
            name, found = parseaddr(address)
            if name or "@" not in found:
                raise ValueError("expected e-mail addresses such as a@example.org, separated by commas")
        return text

    @model_validator(mode="after")
    def _has_a_server(self) -> "AlertSettings":
        if self.alert_email_to and not self.smtp_host:
            raise ValueError("ALERT_EMAIL_TO needs SMTP_HOST: expected the name of a mail server, found none")
        return self

    @property
    def recipients(self) -> list[str]:
        """The addresses of `ALERT_EMAIL_TO`."""
        return _split(self.alert_email_to)

    @property
    def is_on(self) -> bool:
        """Whether alerts go anywhere."""
        return bool(self.alert_webhook_url or self.recipients)

    @property
    def mail_url(self) -> SecretStr:
        """The mail server, the login and the recipients as an address of Apprise, which Prefect sends mail with."""
        login = quote(self.smtp_user, safe="")
        if self.smtp_password:
            login += f":{quote(self.smtp_password.get_secret_value(), safe='')}"
        parameters = {
            "smtp": self.smtp_host,
            "mode": "insecure" if self.smtp_security == "none" else self.smtp_security,
            "from": self.alert_email_from or self.recipients[0],
            "to": ",".join(self.recipients),
            "format": "text",
        }
        scheme = "mailto" if self.smtp_security == "none" else "mailtos"
        place = f"{login}@{self.smtp_host}" if login else self.smtp_host
        return SecretStr(f"{scheme}://{place}:{self.smtp_port}/?{urlencode(parameters)}")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_alerts(environ: Mapping[str, str]) -> AlertSettings:
    """Read the settings of notifications. An empty variable counts as not set.

    Raises:
        SystemExit: A value is invalid, or a variable that begins like these settings is unknown.
    """
    known = {name.upper(): name for name in AlertSettings.model_fields}
    if unknown := sorted(name for name in environ if name.startswith(PREFIXES) and name not in known):
        raise SystemExit(f"unknown variable {unknown[0]}: expected one of {', '.join(known)}. Rename it or unset it")
    try:
        return AlertSettings.model_validate(
            {name: environ[variable] for variable, name in known.items() if environ.get(variable)}
        )
    except ValidationError as error:
        # The error's own text is not used: it contains the value, which may be a secret.
        found = error.errors(include_input=False)
        texts = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()} {e['msg']}".strip() for e in found)
        raise SystemExit(f"invalid settings of notifications: {texts}. Correct them") from None
