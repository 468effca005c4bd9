"""Form fields: how an optional parameter appears in the form of a deployment, and what the form expects."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from tasks.engine.quoting import quoted


class _WithoutNull(dict[str, Any]):
    """A JSON schema without the default null. The form would submit the null, which is not a text."""

    def __setitem__(self, key: str, value: Any) -> None:
        if (key, value) != ("default", None):
            super().__setitem__(key, value)


@dataclass(frozen=True)
class OpenField:
    """Describes an optional text or date, `Annotated[str | None, OpenField(...)]`, as one field, ready to type in.

    Pydantic describes such a type as a choice of two types. The form then shows no field until somebody chooses a type,
    and its error for a wrong value does not say what it expects.

    Attributes:
        pattern: Regular expression of a valid text, for Python.
        expected: The form of a valid text, such as YYYY-MM.
        example: A valid text.
        description: Meaning of the field. The description in the flow's docstring takes precedence.
        is_date: Whether the form shows a calendar.
    """

    pattern: str
    expected: str
    example: str
    description: str
    is_date: bool = False

    def check(self, value: Any) -> Any:
        """Return a valid value unchanged.

        Raises:
            ValueError: The value is a text that does not match the pattern.
        """
        if isinstance(value, str) and not re.fullmatch(self.pattern, value):
            raise ValueError(f"expected {self.expected}, for example {self.example}; found {quoted(value)}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        del schema, handler
        return _WithoutNull(
            type="string",
            # The server's error quotes the pattern. The comment in it says in words what is expected.
            pattern=f"(?#expected {self.expected}, for example {self.example})^{self.pattern}$",
            description=self.description,
            examples=[self.example],
            **({"format": "date"} if self.is_date else {}),
        )
