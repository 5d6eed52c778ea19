// Worker threads, an HTTP server on loopback, child processes, streams, file watching by polling, timers.
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
if (!isMainThread) {
  let sum = 0;
  for (let i = 0; i <= workerData; i++) sum += i;
  parentPort.postMessage(sum);
} else {
  main();
}
async function main() {
  const http = require("http"), fs = require("fs"), child = require("child_process"), zlib = require("zlib");
  const sums = await Promise.all([10, 1000, 100000].map((n) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: n });
    worker.on("message", resolve);
    worker.on("error", reject);
  })));
  console.log("workers", sums.join(" "));
  const server = http.createServer((request, response) => response.end(`you asked for ${request.url}`));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const get = (path) => new Promise((resolve, reject) => http.get({ port: server.address().port, host: "127.0.0.1", path }, (response) => {
    let body = "";
    response.on("data", (part) => (body += part)).on("end", () => resolve(body));
  }).on("error", reject));
  console.log((await Promise.all(["/a", "/b", "/c"].map(get))).join(", "));
  server.close();
  await fs.promises.mkdir("dir/sub", { recursive: true });
  await fs.promises.writeFile("dir/sub/file", "content".repeat(10000));
  console.log((await fs.promises.stat("dir/sub/file")).size, fs.readdirSync("dir"));
  fs.createReadStream("dir/sub/file").pipe(zlib.createGzip()).pipe(fs.createWriteStream("file.gz")).on("finish", async () => {
    console.log(zlib.gunzipSync(fs.readFileSync("file.gz")).length);
    fs.rmSync("dir", { recursive: true });
    console.log(child.execFileSync("sh", ["-c", "echo from a child"]).toString().trim());
    const result = child.spawnSync("sh", ["-c", "exit 4"]);
    console.log(result.status, child.spawnSync("/does/not/exist").error.code);
    const killed = child.spawn("sleep", ["100"]);
    killed.on("exit", (code, signal) => {
      console.log(code, signal);
      setTimeout(() => console.log("timer"), 20);
    });
    killed.kill();
  });
}
