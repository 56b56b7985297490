/** The name of this machine's build: platform, processor, and on Linux the C library. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
    return `${platform}-${arch}-${report?.header?.glibcVersionRuntime ? "gnu" : "musl"}`;
  }
  return platform === "win32" ? `${platform}-${arch}-msvc` : `${platform}-${arch}`;
}
