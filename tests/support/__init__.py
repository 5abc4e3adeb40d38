"""What tests share: simulators with known truth, made-up data, apps with planted faults."""
