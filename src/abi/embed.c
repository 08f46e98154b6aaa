/* Build tool: writes a C file that holds other files as arrays. embed OUT NAME=FILE… */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_file(FILE *out, const char *path, int number)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        perror(path);
        exit(1);
    }
    fprintf(out, "static const unsigned char file_%d[] = {", number);
    int c, count = 0;
    while ((c = getc(in)) != EOF)
        fprintf(out, "%s%d,", count++ % 24 ? "" : "\n", c);
    fprintf(out, "0};\n");
    fclose(in);
}

int main(int argc, char **argv)
{
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    if (!out) {
        fprintf(stderr, "usage: embed OUT NAME=FILE...\n");
        return 2;
    }
    fprintf(out, "#include \"abi/embedded.h\"\n");
    for (int i = 2; i < argc; i++)
        put_file(out, strchr(argv[i], '=') + 1, i);
    fprintf(out, "const struct embedded embedded_files[] = {\n");
    for (int i = 2; i < argc; i++) {
        *strchr(argv[i], '=') = '\0';
        fprintf(out, "    { \"%s\", (const char *)file_%d, sizeof file_%d - 1 },\n", argv[i], i, i);
    }
    fprintf(out, "    { 0, 0, 0 },\n};\n");
    return fclose(out) ? 1 : 0;
}
