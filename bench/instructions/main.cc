// The addon is a shared library, so what is counted is one as well: this only starts it (counted.cc).
extern "C" int runCounted(int argc, char** argv);

int main(int argc, char** argv) { return runCounted(argc, argv); }
