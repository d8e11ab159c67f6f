#ifndef CARCHIVE_SHIM_H
#define CARCHIVE_SHIM_H

#include <archive.h>
#include <archive_entry.h>

/* The file types of <archive_entry.h> are cast macros, which Swift does not import. */
static inline int roost_archive_is_file(unsigned int filetype) { return filetype == AE_IFREG; }
static inline int roost_archive_is_directory(unsigned int filetype) { return filetype == AE_IFDIR; }
static inline int roost_archive_is_link(unsigned int filetype) { return filetype == AE_IFLNK; }

#endif
