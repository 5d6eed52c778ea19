// Busy goroutines that only the runtime's signals can preempt, channels, timers, child processes, files, loopback HTTP.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	runtime.GOMAXPROCS(2)
	stop := false
	for i := 0; i < 4; i++ {
		go func() {
			for !stop {
			}
		}()
	}
	time.Sleep(20 * time.Millisecond) // comes back only if the loops are preempted
	var group sync.WaitGroup
	results := make(chan int, 100)
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func(n int) { defer group.Done(); results <- n * n }(i)
	}
	group.Wait()
	close(results)
	sum := 0
	for n := range results {
		sum += n
	}
	fmt.Println("sum", sum)
	runtime.GC()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "path ", r.URL.Path) }))
	response, err := http.Get("http://" + listener.Addr().String() + "/over/loopback")
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(response.Body)
	fmt.Println(string(body))
	output, err := exec.Command("sh", "-c", "echo child; exit 3").Output()
	fmt.Printf("%q %v\n", output, err)
	_, err = exec.Command("/does/not/exist").Output()
	fmt.Println(err)
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-heard)
	os.WriteFile("written", []byte("by go"), 0o600)
	read, _ := os.ReadFile("written")
	fmt.Println(string(read))
	os.Exit(5)
}
