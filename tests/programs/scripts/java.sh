# The JVM: version, the compiler, and a threaded program with a collector, locks, a process and a loopback server
set -eu
java -version 2>&1 | head -1 | cut -d' ' -f1,2
cat > Threads.java <<'J'
import java.net.*;
import java.io.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;

public class Threads {
    public static void main(String[] words) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Long>> parts = new ArrayList<>();
        for (int part = 0; part < 64; part++) {
            final int start = part * 1000;
            parts.add(pool.submit(() -> {
                byte[][] garbage = new byte[64][];
                for (int i = 0; i < 2000; i++) garbage[i % 64] = new byte[8192];
                return LongStream.range(start, start + 1000).sum();
            }));
        }
        long sum = 0;
        for (Future<Long> part : parts) sum += part.get();
        System.out.println("sum " + sum);
        pool.shutdown();
        System.out.println("pool " + pool.awaitTermination(60, TimeUnit.SECONDS));

        AtomicInteger turns = new AtomicInteger();
        Object lock = new Object();
        Thread[] players = new Thread[2];
        for (int me = 0; me < 2; me++) {
            final int mine = me;
            players[me] = new Thread(() -> {
                synchronized (lock) {
                    while (turns.get() < 200) {
                        if (turns.get() % 2 == mine) { turns.incrementAndGet(); lock.notifyAll(); }
                        else try { lock.wait(); } catch (InterruptedException interrupted) { return; }
                    }
                    lock.notifyAll();
                }
            });
            players[me].start();
        }
        for (Thread player : players) player.join();
        System.out.println("turns " + turns.get());

        try (ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            Thread client = new Thread(() -> {
                try (Socket socket = new Socket(server.getInetAddress(), server.getLocalPort())) {
                    socket.getOutputStream().write("through a socket\n".getBytes());
                } catch (IOException error) { System.out.println(error); }
            });
            client.start();
            try (Socket socket = server.accept()) {
                System.out.println(new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine());
            }
            client.join();
        }

        Path file = Files.createTempFile(Path.of("."), "java", ".txt");
        Files.writeString(file, "written");
        System.out.println(Files.readString(file) + " " + Files.size(file));
        Files.delete(file);
        Process child = new ProcessBuilder("sh", "-c", "cat; exit 3").start();
        child.getOutputStream().write("from a child\n".getBytes());
        child.getOutputStream().close();
        System.out.print(new String(child.getInputStream().readAllBytes()));
        System.out.println("child " + child.waitFor());
        System.gc();
        try { Object nothing = words.length == 0 ? null : words; nothing.hashCode(); }
        catch (NullPointerException caught) { System.out.println("a null pointer is an exception"); }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(7);
    }
}
J
javac Threads.java
status=0; java -Xmx128m Threads || status=$?
echo "ended $status"
