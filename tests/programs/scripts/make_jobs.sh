# make -j2 of a small C project with generated sources, a library and a test
set -eu
mkdir -p src
for i in $(seq 12); do echo "int part$i(void) { return $i; }" > src/part$i.c; done
cat > Makefile <<'M'
parts := $(patsubst %.c,%.o,$(wildcard src/part*.c))
test: program
	@./program && echo works
program: main.o libparts.a
	@$(CC) -o $@ $^
libparts.a: $(parts)
	@$(AR) rcs $@ $^
main.c:
	@{ for i in $$(seq 12); do echo "int part$$i(void);"; done; echo 'int main(void) { return'; for i in $$(seq 12); do echo "part$$i() +"; done; echo '-78; }'; } > $@
%.o: %.c
	@$(CC) -O1 -c -o $@ $<
M
make -s -j2
make -s -j2
touch src/part3.c; make -n -j2 | grep -c part3.o
make -q libparts.a || echo "make -q $?"
