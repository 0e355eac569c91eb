// What libext2fs.a refers to of a C library's calls for files, processes and terminals. There are
// none here, and nothing that uses them is reached. Without headers, for the types are not theirs.
extern "C" {

long library_call_without_kernel() {
  return -1;
}
long library_call_without_value() {
  return 0;
}

#define WITHOUT_KERNEL(name) long name() __attribute__((alias("library_call_without_kernel")))
#define WITHOUT_VALUE(name) long name() __attribute__((alias("library_call_without_value")))
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
WITHOUT_KERNEL(close);
WITHOUT_KERNEL(fcntl);
WITHOUT_KERNEL(fcntl64);
WITHOUT_KERNEL(fallocate64);
WITHOUT_KERNEL(fflush);
WITHOUT_KERNEL(fileno);
WITHOUT_KERNEL(fstat);
WITHOUT_KERNEL(fstat64);
WITHOUT_KERNEL(fsync);
WITHOUT_KERNEL(ftruncate64);
WITHOUT_KERNEL(gethostname);
WITHOUT_KERNEL(getrlimit64);
WITHOUT_KERNEL(ioctl);
WITHOUT_KERNEL(isatty);
WITHOUT_KERNEL(lseek64);
WITHOUT_KERNEL(open);
WITHOUT_KERNEL(open64);
WITHOUT_KERNEL(__open_2);
WITHOUT_KERNEL(__open64_2);
WITHOUT_KERNEL(posix_fadvise64);
WITHOUT_KERNEL(prctl);
WITHOUT_KERNEL(pread64);
WITHOUT_KERNEL(pwrite64);
WITHOUT_KERNEL(read);
WITHOUT_KERNEL(write);
WITHOUT_KERNEL(setrlimit64);
WITHOUT_KERNEL(stat);
WITHOUT_KERNEL(stat64);
WITHOUT_KERNEL(sysconf);
WITHOUT_KERNEL(tcgetattr);
WITHOUT_KERNEL(uname);
WITHOUT_KERNEL(unlink);
WITHOUT_KERNEL(pthread_attr_init);
WITHOUT_KERNEL(pthread_create);
WITHOUT_KERNEL(pthread_join);
WITHOUT_KERNEL(getpagesize);
WITHOUT_VALUE(endmntent);
WITHOUT_VALUE(fclose);
WITHOUT_VALUE(fgets);
WITHOUT_VALUE(fopen);
WITHOUT_VALUE(fputc);
WITHOUT_VALUE(fputs);
WITHOUT_VALUE(fwrite);
WITHOUT_VALUE(getegid);
WITHOUT_VALUE(geteuid);
WITHOUT_VALUE(getgid);
WITHOUT_VALUE(getuid);
WITHOUT_VALUE(getpid);
WITHOUT_VALUE(getenv);
WITHOUT_VALUE(secure_getenv);
WITHOUT_VALUE(getmntent);
WITHOUT_VALUE(setmntent);
WITHOUT_VALUE(hasmntopt);
WITHOUT_VALUE(perror);
WITHOUT_VALUE(sleep);
WITHOUT_VALUE(srandom);
WITHOUT_VALUE(strerror);
WITHOUT_VALUE(strtol);
WITHOUT_VALUE(strtoull);
WITHOUT_VALUE(__fprintf_chk);
WITHOUT_VALUE(__vfprintf_chk);
WITHOUT_VALUE(pthread_attr_destroy);
WITHOUT_VALUE(pthread_mutex_destroy);
WITHOUT_VALUE(pthread_mutex_init);
WITHOUT_VALUE(pthread_mutex_lock);
WITHOUT_VALUE(pthread_mutex_unlock);
WITHOUT_VALUE(__printf_chk);
WITHOUT_VALUE(__sprintf_chk);
WITHOUT_VALUE(__snprintf_chk);

}  // extern "C"
