# gcc compiling and linking a program of several files, a static and a shared library, and make -j2.
set -e
mkdir -p src && cd src
for i in 1 2 3 4; do
    printf '#include "all.h"\nint part%d(int x) { return x * %d + (int)sizeof(struct shared); }\n' $i $i > part$i.c
done
printf '#include <stdio.h>\n#include <stdlib.h>\nstruct shared { long a[4]; };\nint part1(int), part2(int), part3(int), part4(int);\n' > all.h
printf '#include "all.h"\nint main(void) { printf("%%d\\n", part1(1) + part2(2) + part3(3) + part4(4)); return 3; }\n' > main.c
gcc -O2 -Wall -c *.c
gcc -o program *.o
./program || echo "status $?"
ar rcs libparts.a part*.o && gcc -static -o static main.o -L. -lparts && (./static || true)
gcc -shared -fPIC -o libparts.so part*.c && gcc -o dynamic main.o -L. -lparts -Wl,-rpath,"$PWD" && (./dynamic || true)
rm -f *.o
cat > Makefile <<'MAKE'
objects = main.o part1.o part2.o part3.o part4.o
made: $(objects)
	@gcc -o $@ $^ && echo linked
%.o: %.c all.h
	@gcc -c -o $@ $<
-include absent.mk
MAKE
make -j2
./made || echo "status $?"
make -j2
touch part2.c && make -j2 | tail -n 1
printf 'int main(void) { return undefined_name; }\n' > bad.c
gcc bad.c 2> errors || echo "fails with $? and names $(grep -c undefined_name errors)" | sed 's/names [1-9]/names it/'
