/* What the parts of the engine stand-in share. */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

extern const char *model_path, *served_name, *api_key;
extern long max_model_len;
extern double tokens_per_second;
extern time_t started;
extern atomic_bool hanging, dead, wedged; /* accepts and never answers; /health says 503; only requests stand still */

void pause_seconds(double seconds);

/* Thread of one connection; the argument is its file descriptor. */
void *serve(void *connection);

#endif
