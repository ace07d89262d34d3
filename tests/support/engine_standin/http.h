/* Just enough of HTTP/1.1 and JSON for the engine stand-in. */
#ifndef STANDIN_HTTP_H
#define STANDIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HEAD_MAX 65536
#define BODY_MAX (8 << 20)

struct request {
  char method[8];
  char path[256];
  char authorization[512];
  char *body; /* ends with 0; freed by the caller */
  bool keep_alive;
};

/* Read one request from a connected socket. False: closed, malformed or too large. */
bool request_read(int fd, struct request *request);

/* One whole answer. */
bool answer(int fd, const char *status, const char *type, const char *body);

/* Server-sent events, chunked as uvicorn sends them. False: the client has gone. */
bool events_begin(int fd);
bool event(int fd, const char *data);
bool events_end(int fd);

/* The escaped text of the last "key": "..." in json, still escaped, or "" when there is none. */
void json_text(const char *json, const char *key, char *out, size_t size);

/* The number or true (1) and false (0) of the first "key": in json, or fallback. */
long json_number(const char *json, const char *key, long fallback);

#endif
