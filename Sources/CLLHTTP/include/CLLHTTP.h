#ifndef CLLHTTP_H
#define CLLHTTP_H

// The package node-llhttp installs llhttp as C sources and this header; nothing of it is copied here.
#include "llhttp.h"

#endif
