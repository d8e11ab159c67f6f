#ifndef CARCHIVE_SHIM_H
#define CARCHIVE_SHIM_H

#include <archive.h>
#include <archive_entry.h>

/* The file types of <archive_entry.h> are cast macros, which Swift does not import. */
static inline int roost_archive_is_file(unsigned int filetype) { return filetype == AE_IFREG; }
static inline int roost_archive_is_directory(unsigned int filetype) { return filetype == AE_IFDIR; }
static inline int roost_archive_is_link(unsigned int filetype) { return filetype == AE_IFLNK; }

/* <unistd.h> shows it only under _GNU_SOURCE, which Swift's Glibc module is built without. It is here because Artifacts
   is the only importer of this module and has no other need of C. */
extern int syncfs(int fd);

#endif
