// Interfaces through netlink, and thousands of goroutines over channels, locks and loopback connections.
package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

func main() {
	interfaces, err := net.Interfaces()
	if err != nil {
		panic(err)
	}
	for _, one := range interfaces {
		if one.Name != "lo" {
			continue
		}
		addresses, err := one.Addrs()
		if err != nil {
			panic(err)
		}
		fmt.Println(one.Index, one.Name, one.MTU, one.Flags&net.FlagUp != 0, one.Flags&net.FlagLoopback != 0, addresses[0])
	}
	byName, err := net.InterfaceByName("lo")
	fmt.Println(byName.Index, err)

	numbers := make(chan int)
	var workers sync.WaitGroup
	for worker := 0; worker < 5000; worker++ {
		workers.Add(1)
		go func(mine int) {
			defer workers.Done()
			time.Sleep(time.Millisecond)
			numbers <- mine
		}(worker)
	}
	go func() { workers.Wait(); close(numbers) }()
	sum := 0
	for number := range numbers {
		sum += number
	}
	fmt.Println("sum", sum)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(connection, connection); connection.Close() }()
		}
	}()
	var lock sync.Mutex
	total := 0
	for client := 0; client < 50; client++ {
		workers.Add(1)
		go func(size int) {
			defer workers.Done()
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				panic(err)
			}
			defer connection.Close()
			connection.Write(make([]byte, size))
			connection.(*net.TCPConn).CloseWrite()
			echoed, _ := io.Copy(io.Discard, connection)
			lock.Lock()
			total += int(echoed)
			lock.Unlock()
		}(client * 100)
	}
	workers.Wait()
	listener.Close()
	fmt.Println("echoed", total)
}
