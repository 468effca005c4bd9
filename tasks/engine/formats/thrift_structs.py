"""Thrift's compact protocol, which parquet uses for its footer and for the headers of its pages."""

from collections.abc import Iterator

from tasks.engine.errors import UnreadableObjectError

Value = bool | int | bytes | list["Value"] | dict[int, "Value"]
Struct = dict[int, Value]

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
_DEEPEST = 16


def read_struct(data: bytes) -> tuple[Struct, int]:
    """Read one struct from the beginning of some bytes.

    Returns:
        The values by field id, and the number of bytes that the struct takes.

    Raises:
        UnreadableObjectError: The bytes are not a struct.
    """
    reader = _Reader(data)
    try:
        return reader.struct(0), reader.position
    except IndexError as error:
        raise UnreadableObjectError("expected a whole parquet header, found the end of its bytes") from error


def read_list(data: bytes, field: int) -> Iterator[Struct]:
    """Read the structs of a list of a struct, one after the other, and keep none of them.

    Args:
        data: The bytes of the struct.
        field: The field of the list.

    Raises:
        UnreadableObjectError: The bytes are not a struct, or the field is not a list of structs.
    """
    reader = _Reader(data)
    try:
        yield from reader.elements(field)
    except IndexError as error:
        raise UnreadableObjectError("expected a whole parquet header, found the end of its bytes") from error


def end_of_fields(data: bytes, field: int) -> int:
    """Return where the fields of a struct before a field end, if the fields are in order; else 0.

    Raises:
        UnreadableObjectError: The bytes are not a struct.
    """
    reader = _Reader(data)
    try:
        return reader.end_before(field)
    except IndexError as error:
        raise UnreadableObjectError("expected a whole parquet header, found the end of its bytes") from error


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int) -> Struct:
        if depth > _DEEPEST:
            raise UnreadableObjectError(f"expected a parquet header of at most {_DEEPEST} levels, found more")
        values: Struct = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            values[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return values

    def elements(self, wanted: int) -> Iterator[Struct]:
        """Yield the structs of a list, and skip the other fields of the struct that contains the list."""
        field, is_found = 0, False
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            if field != wanted:
                if kind not in (_TRUE, _FALSE):
                    self._value(kind, 0)
                continue
            count, element = self._list_head() if kind in (_LIST, _SET) else (0, 0)
            if (count and element != _STRUCT) or kind not in (_LIST, _SET):
                raise UnreadableObjectError(f"expected a list of structs as field {wanted} of a parquet header")
            is_found = True
            for _ in range(count):
                yield self.struct(1)
        if not is_found:
            raise UnreadableObjectError(f"expected a list as field {wanted} of a parquet header, found none")

    def end_before(self, wanted: int) -> int:
        """Return where the field before a field ends. Return 0 if the fields are not in order, or if it is missing."""
        field = 0
        while True:
            end = self.position
            head = self._byte()
            if not head:
                return 0
            before, field = field, field + (head >> 4) if head >> 4 else self._integer()
            if not before < field <= wanted:
                return 0
            if field == wanted:
                return end if field - before == 1 else 0
            if head & 15 not in (_TRUE, _FALSE):
                self._value(head & 15, 0)

    def _value(self, kind: int, depth: int) -> Value:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        return self._rare(kind, depth)

    def _rare(self, kind: int, depth: int) -> Value:
        if kind in (_TRUE, _FALSE, _BYTE):  # a boolean of a list takes a byte
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        if kind == _MAP:
            return self._map(depth + 1)
        raise UnreadableObjectError(f"expected a value of a parquet header, found one of kind {kind}")

    def _list(self, depth: int) -> Value:
        count, kind = self._list_head()
        return [self._value(kind, depth) for _ in range(count)]

    def _list_head(self) -> tuple[int, int]:
        """Read the number of elements of a list, and their kind."""
        head = self._byte()
        return head >> 4 if head >> 4 < 15 else self._varint(), head & 15

    def _map(self, depth: int) -> Value:
        if count := self._varint():
            kinds = self._byte()
            for _ in range(count):
                self._value(kinds >> 4, depth)
                self._value(kinds & 15, depth)
        return {}

    def _byte(self) -> int:
        value = self._data[self.position]
        self.position += 1
        return value

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self._data):
            raise IndexError
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise UnreadableObjectError("expected an integer of 64 bits in a parquet header, found a longer one")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
