// llhttp's sources include this name; it stands for the header that the system has.
#include "/usr/share/include/llhttp/llhttp.h"
