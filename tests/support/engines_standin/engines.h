/* What the parts of the other engines' stand-in share. */
#ifndef ENGINES_H
#define ENGINES_H

#include <stdatomic.h>
#include <stdbool.h>

struct request;

extern atomic_bool loaded;
extern char served_name[512];

double env_number(const char *name, double fallback);
void pause_seconds(double seconds);

/* Ollama's paths; false when it is none of them. */
bool ollama_route(int fd, const struct request *request);

#endif
