/* What the binding compares when it loads the library: another version of it would read and write other memory. */
#include "native.h"

const char *native_version(void) { return NATIVE_VERSION; }

int64_t native_size(int32_t place) {
    static const int64_t sizes[] = {
        sizeof(StringColumn), sizeof(Record), sizeof(CsvInput), sizeof(CsvRecords),
        sizeof(Column),     sizeof(InvalidRow), sizeof(Encoded),
    };
    return place >= 0 && place < (int32_t)(sizeof sizes / sizeof *sizes) ? sizes[place] : 0;
}
