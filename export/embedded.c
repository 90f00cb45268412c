/* Runs a SavedModel from C, on TensorFlow's C API: no Python, no protocol-buffer library.
 *   embedded VERSION_DIR                           prints the signatures
 *   embedded VERSION_DIR SIGNATURE NAME=FILE ...   runs one, prints "name [shape] values" per output
 * FILE is a .npy array of the input's dtype; any other file is one string, an image for example.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>

#define MOST 32 /* inputs or outputs of a signature, dimensions of a tensor */
#define LINE(text) (int)strcspn(text, "\n"), text
#define TEXT(span) (int)((span).end - (span).at), (span).at
#define FAIL(...) (fprintf(stderr, "embedded: " __VA_ARGS__), fputc('\n', stderr), exit(2))

static const struct { TF_DataType type; const char *npy, *name; } TYPES[] = {
    {TF_FLOAT, "<f4", "float32"}, {TF_INT32, "<i4", "int32"}, {TF_INT64, "<i8", "int64"},
    {TF_UINT8, "|u1", "uint8"}, {TF_BOOL, "|b1", "bool"}, {TF_STRING, "-", "string"}, {0, NULL, "another dtype"}};

/* A protocol buffer message is a sequence of fields: a key, then a number or a span of bytes. */
typedef struct { const uint8_t *at, *end; } Span;
typedef struct { uint64_t id, number; Span bytes; } Field;
static uint64_t varint(Span *s) {
  uint64_t value = 0;
  for (int shift = 0; s->at < s->end && shift < 64; shift += 7) {
    value |= (uint64_t)(*s->at & 127) << shift;
    if (*s->at++ < 128) return value;
  }
  return FAIL("saved_model.pb: broken"), 0;
}
static int next(Span *s, Field *field) {
  if (s->at >= s->end) return 0;
  uint64_t key = varint(s), kind = key & 7;
  *field = (Field){key >> 3, kind == 0 ? varint(s) : 0, {NULL, NULL}};
  uint64_t size = kind == 0 ? 0 : kind == 2 ? varint(s) : kind == 1 ? 8 : 4;
  if (size > (uint64_t)(s->end - s->at)) FAIL("saved_model.pb: broken");
  field->bytes = (Span){s->at, s->at + size};
  return s->at += size, 1;
}
static Field get(Span message, uint64_t id) {
  for (Field field; next(&message, &field);) if (field.id == id) return field;
  return (Field){0, 0, {NULL, NULL}};
}
static int is(Span s, const char *text, size_t size) {
  return (size_t)(s.end - s.at) == size && !memcmp(s.at, text, size);
}
/* SignatureDef: 1 inputs, 2 outputs by name. TensorInfo: 1 the tensor, 2 its dtype, 3 its shape. */
static void print_tensors(const char *kind, Span signature, uint64_t id) {
  for (Field entry; next(&signature, &entry);) {
    if (entry.id != id) continue;
    int i = 0;
    Span name = get(entry.bytes, 1).bytes, info = get(entry.bytes, 2).bytes;
    while (TYPES[i].npy && TYPES[i].type != (TF_DataType)get(info, 2).number) i++;
    printf("  %s %.*s %s [", kind, TEXT(name), TYPES[i].name);
    for (Field dim, shape = get(info, 3); next(&shape.bytes, &dim);) /* Dim: 1 size */
      if (dim.id == 2) printf(" %" PRId64, (int64_t)get(dim.bytes, 1).number);
    puts(" ]");
  }
}
static TF_Output tensor_of(TF_Graph *graph, Span entry) {
  Span name = get(get(entry, 2).bytes, 1).bytes;
  char text[1024];
  snprintf(text, sizeof text, "%.*s", TEXT(name));
  char *colon = strrchr(text, ':');
  if (colon) *colon = 0;
  return (TF_Output){TF_GraphOperationByName(graph, text), colon ? atoi(colon + 1) : 0};
}
static TF_Tensor *read_tensor(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) FAIL("%s: cannot be read", path);
  size_t size = ftell(file), start = 10;
  char *data = (rewind(file), calloc(size + 10, 1));
  if (!data || fread(data, 1, size, file) != size || fclose(file)) FAIL("%s: cannot be read", path);
  if (memcmp(data, "\x93NUMPY\x01", 7)) {
    TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, (int64_t[]){1}, 1, sizeof(TF_TString));
    TF_StringInit(TF_TensorData(tensor)), TF_StringCopy(TF_TensorData(tensor), data, size);
    return free(data), tensor;
  }
  start += (uint8_t)data[8] + 256 * (uint8_t)data[9];
  char *descr = strstr(data + 10, "'descr': '"), *shape = strstr(data + 10, "'shape': (");
  if (start > size || !descr || !shape || !strstr(data + 10, "'fortran_order': False"))
    FAIL("%s: must be a .npy array in C order", path);
  int64_t dims[MOST], count = 1;
  int rank = 0, i = 0;
  for (char *at = shape + 10; *at >= '0' && *at <= '9' && rank < MOST; at += strspn(at, ", "))
    count *= dims[rank++] = strtoll(at, &at, 10);
  while (TYPES[i].npy && strncmp(descr + 10, TYPES[i].npy, 3)) i++;
  if (!TYPES[i].npy) FAIL("%s: dtype %.3s: is not read here", path, descr + 10);
  if (count * TF_DataTypeSize(TYPES[i].type) != size - start) FAIL("%s: cut off", path);
  TF_Tensor *tensor = TF_AllocateTensor(TYPES[i].type, dims, rank, size - start);
  memcpy(TF_TensorData(tensor), data + start, size - start);
  return free(data), tensor;
}
static void print_tensor(Span name, TF_Tensor *tensor) {
  void *x = TF_TensorData(tensor);
  printf("%.*s [", TEXT(name));
  for (int i = 0; i < TF_NumDims(tensor); i++) printf(" %" PRId64, TF_Dim(tensor, i));
  printf(" ]");
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) switch (TF_TensorType(tensor)) {
    case TF_FLOAT: printf(" %.9g", ((float *)x)[i]); break;
    case TF_INT32: printf(" %" PRId32, ((int32_t *)x)[i]); break;
    case TF_INT64: printf(" %" PRId64, ((int64_t *)x)[i]); break;
    case TF_UINT8: case TF_BOOL: printf(" %d", ((uint8_t *)x)[i]); break;
    case TF_STRING: printf(" %.*s", (int)TF_StringGetSize((TF_TString *)x + i),
                           TF_StringGetDataPointer((TF_TString *)x + i)); break;
    default: FAIL("dtype %d: is not printed here", TF_TensorType(tensor));
  }
  putchar('\n');
}
int main(int argc, char **argv) {
  if (argc < 2) FAIL("usage: embedded VERSION_DIR [SIGNATURE NAME=FILE ...]");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_Buffer *meta = TF_NewBuffer(); /* becomes the MetaGraphDef: 5 the signatures by name */
  TF_Session *session = TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, argv[1],
      (const char *[]){"serve"}, 1, graph, meta, status);
  if (TF_GetCode(status)) FAIL("%.*s", LINE(TF_Message(status)));
  Span all = {meta->data, (const uint8_t *)meta->data + meta->length}, signature = {NULL, NULL};
  for (Field field; next(&all, &field);) {
    if (field.id != 5) continue;
    Span name = get(field.bytes, 1).bytes, body = get(field.bytes, 2).bytes;
    if (argc > 2 && is(name, argv[2], strlen(argv[2]))) signature = body;
    if (argc > 2 || is(name, "__saved_model_init_op", 21)) continue;
    printf("%.*s\n", TEXT(name));
    print_tensors("input", body, 1), print_tensors("output", body, 2);
  }
  if (argc == 2) return 0;
  if (!signature.at) FAIL("%s: no such signature", argv[2]);
  TF_Output from[MOST], to[MOST];
  TF_Tensor *given[MOST], *answers[MOST] = {NULL};
  Span names[MOST];
  int inputs = 0, outputs = 0;
  for (Field entry; next(&signature, &entry);) {
    if (entry.id > 2 || inputs == MOST || outputs == MOST) continue;
    Span name = get(entry.bytes, 1).bytes;
    if (entry.id == 2) names[outputs] = name, to[outputs++] = tensor_of(graph, entry.bytes);
    if (entry.id == 2) continue;
    int i = 3;
    while (i < argc && !is(name, argv[i], strcspn(argv[i], "="))) i++;
    if (i == argc || !strchr(argv[i], '=')) FAIL("%.*s: must be given as NAME=FILE", TEXT(name));
    from[inputs] = tensor_of(graph, entry.bytes);
    given[inputs++] = read_tensor(strchr(argv[i], '=') + 1);
  }
  if (inputs != argc - 3) FAIL("%d inputs are given: must be %d", argc - 3, inputs);
  TF_SessionRun(session, NULL, from, given, inputs, to, answers, outputs, NULL, 0, NULL, status);
  if (TF_GetCode(status)) FAIL("%.*s", LINE(TF_Message(status)));
  for (int i = 0; i < outputs; i++) print_tensor(names[i], answers[i]);
  return 0;
}
