import Testing
import WorkerRuntime
