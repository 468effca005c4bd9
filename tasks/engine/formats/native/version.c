/* The version and the struct sizes, which the binding verifies when it loads the library. With a different version,
 * both sides would disagree about the layout of memory. */
#include "json.h"

const char *native_version(void) { return NATIVE_VERSION; }

int64_t native_size(int32_t place) {
    static const int64_t sizes[] = {
        sizeof(StringColumn), sizeof(Record), sizeof(Dialect),    sizeof(CsvInput), sizeof(CsvRecords),
        sizeof(Column),       sizeof(Lines),  sizeof(InvalidRow), sizeof(Encoded),
        sizeof(CopyOut),
        sizeof(JsonPlace),    sizeof(JsonName), sizeof(JsonUnknown), sizeof(JsonKeys), sizeof(JsonRecord),
        sizeof(JsonInput),    sizeof(JsonRecords),
    };
    return place >= 0 && place < (int32_t)(sizeof sizes / sizeof *sizes) ? sizes[place] : 0;
}
