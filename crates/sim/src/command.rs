//! `plerion sim`: runs seeds and says what came of them.

use std::process::ExitCode;

use crate::report::{Report, seed_run};

const USAGE: &str = "\
usage: plerion sim [--seed N] [--seeds K] [--steps M] [--hosts H] [--loud]
                   [--coverage-min N]
Runs the front-end with made-up hosts, time and faults; the same seed is the same run.
  --seed N   first seed (1)
  --seeds K  number of seeds (1)
  --steps M  events with faults, before everything must come to rest (3000)
  --hosts H  hosts (4)
  --coverage-min N  fail when a row of the life cycle or a fault was met fewer times in all (0)
  --loud     print everything that happens";
/// Most hosts of a run.
const HOSTS_MAX: u64 = 1000;

struct Arguments {
    seed: u64,
    seeds: u64,
    steps: u64,
    hosts: usize,
    coverage_min: u64,
    loud: bool,
}

/// Runs `plerion sim` with these arguments.
#[must_use]
pub fn sim_main(args: &[String]) -> ExitCode {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match arguments_read(args) {
        Ok(arguments) => seeds_run(&arguments),
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments_read(args: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seed: 1,
        seeds: 1,
        steps: 3000,
        hosts: 4,
        coverage_min: 0,
        loud: false,
    };
    let mut rest = args.iter();
    while let Some(name) = rest.next() {
        if name == "--loud" {
            arguments.loud = true;
            continue;
        }
        let mut number = |least: u64, most: u64| {
            let text = rest.next().ok_or_else(|| format!("{name} needs a number"))?;
            let number: u64 = text
                .parse()
                .map_err(|_| format!("{name} {text}: it is no number"))?;
            if (least..=most).contains(&number) {
                Ok(number)
            } else {
                Err(format!("{name} {text}: it is from {least} to {most}"))
            }
        };
        match name.as_str() {
            "--seed" => arguments.seed = number(0, u64::MAX)?,
            "--seeds" => arguments.seeds = number(1, u64::MAX)?,
            "--coverage-min" => arguments.coverage_min = number(0, u64::MAX)?,
            "--steps" => arguments.steps = number(1, u64::MAX)?,
            "--hosts" => arguments.hosts = usize::try_from(number(1, HOSTS_MAX)?).unwrap_or(1),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

fn seeds_run(arguments: &Arguments) -> ExitCode {
    let mut sum: Option<Report> = None;
    for number in 0..arguments.seeds {
        let seed = arguments.seed.wrapping_add(number);
        let report = seed_run(seed, arguments.steps, arguments.hosts, arguments.loud);
        if let Some(violation) = &report.violation {
            println!("{}", report.last.join("\n"));
            println!("seed {seed}, step {}: {violation}", report.steps);
            println!(
                "again: plerion sim --seed {seed} --steps {} --hosts {} --loud",
                arguments.steps, arguments.hosts
            );
            return ExitCode::FAILURE;
        }
        match &mut sum {
            None => sum = Some(report),
            Some(sum) => sum.add(&report),
        }
    }
    if let Some(sum) = sum {
        print!("{sum}");
        let few = sum.below(arguments.coverage_min);
        if !few.is_empty() {
            println!("met fewer than {} times:", arguments.coverage_min);
            for (count, name) in few {
                println!("  {count:>8} {name}");
            }
            return ExitCode::FAILURE;
        }
        println!("digest           {:016x}", sum.digest);
        println!("result           {} seeds, nothing wrong", arguments.seeds);
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        arguments_read(&args)
    }

    #[test]
    fn arguments_are_numbers_within_bounds() {
        let arguments =
            read("--seed 7 --seeds 2 --steps 10 --hosts 3 --coverage-min 5 --loud").expect("good");
        assert_eq!((arguments.seed, arguments.seeds, arguments.steps), (7, 2, 10));
        assert_eq!(arguments.coverage_min, 5);
        assert!(arguments.hosts == 3 && arguments.loud);
        for line in [
            "--seed",
            "--seed x",
            "--seeds 0",
            "--hosts 0",
            "--hosts 1001",
            "--coverage-min -1",
            "--fast",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
