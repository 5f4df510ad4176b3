//! build: Dockerfiles by the classic builder, with our client, the real one, and plain requests.

use crate::harness::command::{Output, Running, run};
use crate::harness::rootfs::{Archive, busybox, sha256};
use crate::harness::{Host, PATIENCE, docker_client, eventually, registry, skip};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

struct Builder {
    host: Host,
}

impl Builder {
    fn new(name: &'static str) -> Builder {
        let host = Host::new(name);
        host.import("base", &busybox());
        Builder { host }
    }

    /// A context of files.
    fn context(&self, name: &str, files: &[(&str, &str)]) -> String {
        let dir = self.host.make_dir(name);
        for (path, content) in files {
            let path = Path::new(&dir).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        dir
    }

    /// Build a Dockerfile without files.
    fn plain(&self, dockerfile: &str, args: &[&str]) -> Output {
        let words = [&["build"], args, &["-"]].concat();
        self.host.tug_with_input(&words, dockerfile.as_bytes())
    }

    #[track_caller]
    fn built(&self, dockerfile: &str, args: &[&str]) -> String {
        let output = self.plain(dockerfile, args);
        assert_eq!(output.code, 0, "{output:?}");
        output.stdout
    }

    #[track_caller]
    fn refused(&self, dockerfile: &str, sentence: &str) {
        let output = self.plain(dockerfile, &[]);
        assert!(output.code != 0, "{dockerfile:?}: {output:?}");
        assert!(
            output.stderr.contains(sentence),
            "{dockerfile:?}: {output:?}"
        );
    }

    /// What a shell prints in a container of `image`.
    #[track_caller]
    fn in_image(&self, image: &str, script: &str) -> String {
        self.host.ok(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "sh",
            image,
            "-c",
            script,
        ])
    }

    /// Nothing of a build stays but images.
    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.host.ok(&["ps", "-aq"]), "");
        let left: Vec<_> = std::fs::read_dir(self.host.data_root().join("build"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "cache")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Every instruction, as Debian's docker 20.10 has made of it: this text was compared with its
/// history and configuration (but for the member of HEALTHCHECK that came with API 1.44).
const ALL: &str = r#"# escape=\
ARG TAG=latest
FROM base:${TAG} AS one
MAINTAINER  me <m@x>
ARG FOO=bar
ENV A=1 B="two words" C=$FOO
ENV OLD the rest  of it
LABEL l1=v1 "l 2"='v $A'
EXPOSE 80 $A/udp 8000-8001
WORKDIR /desk
WORKDIR sub
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5m --timeout=3s --retries=3 CMD curl -f x || exit 1
SHELL ["/bin/sh", "-e", "-c"]
RUN echo $FOO $A && \
    # a comment
    pwd >/pwd
RUN ["/bin/sh", "-c", "echo exec"]
COPY a.txt /
COPY a.txt b.txt dest/
COPY --chown=guest:guest --chmod=750 dir /d
COPY l* /l/
ADD t.tar /t/
COPY ["a.txt", "sp ace"]
ENTRYPOINT exec top -b
CMD ["-x", "y\"z"]
ONBUILD RUN echo   hi
"#;

const HISTORY: &str = r#"/bin/sh -e -c #(nop)  ONBUILD RUN echo   hi
/bin/sh -e -c #(nop)  CMD ["-x" "y\"z"]
/bin/sh -e -c #(nop)  ENTRYPOINT ["/bin/sh" "-e" "-c" "exec top -b"]
/bin/sh -e -c #(nop) COPY file:HASH in sp ace 
/bin/sh -e -c #(nop) ADD file:HASH in /t/ 
/bin/sh -e -c #(nop) COPY file:HASH in /l/ 
/bin/sh -e -c #(nop) COPY --chown=guest:guestdir:HASH in /d 
/bin/sh -e -c #(nop) COPY multi:HASH in dest/ 
/bin/sh -e -c #(nop) COPY file:HASH in / 
|1 FOO=baz /bin/sh -c echo exec
|1 FOO=baz /bin/sh -e -c echo $FOO $A &&     pwd >/pwd
/bin/sh -e -c #(nop)  SHELL [/bin/sh -e -c]
/bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "curl -f x || exit 1"] "5m0s" "3s" "0s" "0s" '\x03'}
/bin/sh -c #(nop)  STOPSIGNAL SIGINT
/bin/sh -c #(nop) WORKDIR /desk/sub
/bin/sh -c #(nop) WORKDIR /desk
/bin/sh -c #(nop)  EXPOSE 1/udp 80 8000-8001
/bin/sh -c #(nop)  LABEL l1=v1 l 2=v $A
/bin/sh -c #(nop)  ENV OLD=the rest  of it
/bin/sh -c #(nop)  ENV A=1 B=two words C=baz
/bin/sh -c #(nop)  ARG FOO=bar
/bin/sh -c #(nop)  MAINTAINER me <m@x>
"#;

const CONFIG: &str = r#"{"ExposedPorts":{"1/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1","B=two words","C=baz","OLD=the rest  of it"],"Entrypoint":["/bin/sh","-e","-c","exec top -b"],"Cmd":["-x","y\"z"],"WorkingDir":"/desk/sub","Labels":{"l 2":"v $A","l1":"v1"},"StopSignal":"SIGINT","Shell":["/bin/sh","-e","-c"],"Healthcheck":{"Test":["CMD-SHELL","curl -f x || exit 1"],"Interval":300000000000,"Timeout":3000000000,"Retries":3},"OnBuild":["RUN echo   hi"]}"#;

fn all(builder: &Builder) -> String {
    let files = [
        ("Dockerfile", ALL),
        ("a.txt", "a"),
        ("b.txt", "b"),
        ("dir/sub/s", "s"),
    ];
    let dir = builder.context("context", &files);
    std::os::unix::fs::symlink("a.txt", format!("{dir}/link")).unwrap();
    let mut archive = Archive::new();
    archive.dir("in/", 0o700).file("in/file", 0o640, "tar");
    std::fs::write(format!("{dir}/t.tar"), archive.finish()).unwrap();
    dir
}

/// 64 digits are the content's.
fn without_hashes(text: &str) -> String {
    let hide = |line: &str| match line.split_once(" in ") {
        Some((front, rest)) if front.len() > 64 && front.contains(':') => {
            format!("{}HASH in {rest}", &front[..front.len() - 64])
        }
        _ => line.to_string(),
    };
    text.lines().map(|line| hide(line) + "\n").collect()
}

#[test]
fn every_instruction_does_what_dockers_builder_makes_of_it() {
    let builder = Builder::new("build-all");
    let (host, dir) = (&builder.host, all(&builder));
    let output = host.tug(&[
        "build",
        "--build-arg",
        "FOO=baz",
        "--build-arg",
        "NO=1",
        "-t",
        "all",
        &dir,
    ]);
    assert_eq!(output.code, 0, "{output:?}");
    for line in [
        "Step 1/24 : ARG TAG=latest\n",
        "Step 2/24 : FROM base:${TAG} AS one\n",
        "\nbaz 1\n",
        "\nexec\n",
        "[Warning] One or more build-args [NO] were not consumed\nSuccessfully built ",
        "\nSuccessfully tagged all:latest\n",
    ] {
        assert!(output.stdout.contains(line), "{line:?}: {}", output.stdout);
    }

    let history = host.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "all"]);
    // That of the base is empty.
    let own = history + "\n";
    assert_eq!(without_hashes(&own), HISTORY);
    assert_eq!(
        host.ok(&["inspect", "-f", "{{json .Config}}", "all"]),
        CONFIG
    );
    assert_eq!(
        host.ok(&["inspect", "-f", "{{.Author}}", "all"]),
        "me <m@x>"
    );
    let script = "cat /pwd; stat -c '%n %a %u:%g %s' /a.txt dest dest/b.txt /d /d/sub/s /l/link /t/in /t/in/file 'sp ace'";
    assert_eq!(
        builder.in_image("all", script),
        "/desk/sub\n/a.txt 644 0:0 1\ndest 755 0:0 4096\ndest/b.txt 644 0:0 1\n\
         /d 755 1000:1000 4096\n/d/sub/s 750 1000:1000 1\n/l/link 644 0:0 1\n/t/in 700 0:0 4096\n\
         /t/in/file 640 0:0 3\nsp ace 644 0:0 1"
            .replace(" 4096", &size_of_directories(&builder))
    );
    builder.assert_clean();
}

/// They have their own idea of it on each file system.
fn size_of_directories(builder: &Builder) -> String {
    format!(" {}", builder.in_image("all", "stat -c %s /desk"))
}

#[test]
fn a_second_build_comes_out_of_the_cache_as_far_as_nothing_has_changed() {
    let builder = Builder::new("build-cache");
    let dir = all(&builder);
    let build = |builder: &Builder, args: &[&str]| {
        let words = [&["build", "--build-arg", "FOO=baz"], args, &[&dir]].concat();
        let output = builder.host.tug(&words);
        assert_eq!(output.code, 0, "{output:?}");
        let id = output.stdout.rsplit("built ").next().unwrap().to_string();
        (output.stdout.matches("Using cache").count(), id)
    };
    let (cached, first) = build(&builder, &[]);
    assert_eq!(cached, 0);
    assert_eq!(build(&builder, &[]), (22, first.clone()));
    // After a restart of the engine as well.
    let mut builder = builder;
    builder.host.stop_engine();
    builder.host.start_engine();
    let build = |args: &[&str]| build(&builder, args);
    assert_eq!(build(&[]), (22, first.clone()));
    // Other times are no change, other content is.
    std::fs::write(format!("{dir}/a.txt"), "a").unwrap();
    assert_eq!(build(&[]), (22, first.clone()));
    std::fs::write(format!("{dir}/b.txt"), "other").unwrap();
    let (cached, second) = build(&[]);
    assert_eq!(cached, 14);
    assert_ne!(second, first);
    let (cached, third) = build(&["--no-cache"]);
    assert_eq!(cached, 0);
    assert_ne!(third, second);
}

/// What an image says of its history is no promise (CVE-2024-24557).
#[test]
fn an_image_from_elsewhere_is_no_answer_of_the_cache() {
    let builder = Builder::new("build-poison");
    let dockerfile = "FROM base\nRUN echo one >/one\n";
    builder.built(dockerfile, &["-t", "made"]);
    let host = &builder.host;
    let archive = host.dir.join("made.tar").display().to_string();
    host.ok(&["save", "-o", &archive, "made"]);
    assert!(builder.built(dockerfile, &[]).contains("Using cache"));
    host.ok(&["rmi", "made"]);
    host.ok(&["load", "-i", &archive]);
    assert!(!builder.built(dockerfile, &[]).contains("Using cache"));
}

#[test]
fn stages_give_files_to_later_ones_and_the_target_ends_the_build() {
    let builder = Builder::new("build-stages");
    let dockerfile = "FROM base AS first\nRUN echo 1 >/one; chown 12:34 /one\nFROM base AS Second\nRUN echo 2 >/two\n\
        FROM scratch\nCOPY --from=first /one /\nCOPY --from=1 /two /two/\nCOPY --from=base /bin/busybox /bin/sh\nCMD [\"/bin/sh\"]\n";
    builder.built(dockerfile, &["-t", "last"]);
    let script = "echo /*; cat /one /two/two";
    let host = &builder.host;
    let found = host.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        "last",
        "/bin/sh",
        "-c",
        "for f in /*; do echo $f; done; read a </one; read b </two/two; echo $a $b",
    ]);
    assert!(
        found.ends_with("\n1 2") && found.contains("/one\n"),
        "{script}: {found}"
    );
    let listed = host.ok(&["inspect", "-f", "{{len .RootFS.Layers}}", "last"]);
    assert_eq!(listed, "3");
    let output = builder.built(dockerfile, &["--target", "second", "-t", "second"]);
    assert!(output.contains("Step 4/4 : RUN echo 2"), "{output}");
    assert_eq!(builder.in_image("second", "cat /two"), "2");
    builder.refused(
        "FROM base AS a\nFROM base AS a\n",
        "a stage name already used",
    );
    let output = builder.plain(dockerfile, &["--target", "third"]);
    output.assert_refused(1, "target stage \"third\" could not be found");
}

#[test]
fn intermediate_images_are_there_for_the_cache_and_go_with_the_last() {
    let builder = Builder::new("build-rmi");
    let host = &builder.host;
    builder.built("FROM base\nRUN echo 1 >/1\nRUN echo 2 >/2\n", &["-t", "a"]);
    builder.built("FROM base\nRUN echo 1 >/1\nRUN echo 3 >/3\n", &["-t", "b"]);
    let count = |args: &[&str]| host.ok(&[&["images", "-q"], args].concat()).lines().count();
    assert_eq!((count(&[]), count(&["-a"])), (3, 4));
    assert_eq!(count(&["-f", "dangling=true"]), 0);
    let parent = host.ok(&["inspect", "-f", "{{.Parent}}", "a"]);
    host.tug(&["rmi", &parent])
        .assert_refused(1, "(cannot be forced) - image has dependent child images");
    // Others were built on it: the name goes, the image stays.
    assert_eq!(host.ok(&["rmi", "base"]), "Untagged: base:latest");
    let deleted = host.ok(&["rmi", "a"]);
    assert_eq!(deleted.matches("Deleted").count(), 2, "{deleted}");
    let deleted = host.ok(&["rmi", "b"]);
    assert!(deleted.contains(&format!("Deleted: {parent}")), "{deleted}");
    assert_eq!(count(&["-a"]), 0);
}

#[test]
fn what_fails_is_told_in_dockers_words() {
    let builder = Builder::new("build-fails");
    for (dockerfile, sentence) in [
        (
            "FROM base\nFOO bar\n",
            "dockerfile parse error on line 2: unknown instruction: FOO",
        ),
        ("RUN x\n", "no build stage in current context"),
        ("FROM Base\n", "invalid reference format"),
        (
            "FROM scratch\n",
            "No image was generated. Is your Dockerfile empty?",
        ),
        (
            "FROM scratch\nRUN x\n",
            "Please provide a source image with `from` prior to run",
        ),
        ("FROM ${X}\n", "base name (${X}) should not be blank"),
        (
            "FROM base\nCOPY nofile /x\n",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nofile: file does not exist",
        ),
        (
            "FROM base\nCOPY ../x /x\n",
            "COPY failed: forbidden path outside the build context: ../x ()",
        ),
        (
            "FROM base\nCOPY no* /x/\n",
            "COPY failed: no source files were specified",
        ),
        (
            "FROM base\nCOPY Dockerfile Dockerfile /x\n",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        (
            "FROM base\nCOPY http://localhost/x /\n",
            "COPY failed: source can't be a URL for COPY",
        ),
        (
            "FROM base\nCOPY --chown=nobody2 Dockerfile /\n",
            "unable to convert uid/gid chown string to host mapping",
        ),
        (
            "FROM base\nCOPY --chmod=u+x Dockerfile /\n",
            "invalid mode \"u+x\"",
        ),
        ("FROM base\nADD git@x:y.git /\n", "git is not supported"),
        ("FROM base\nEXPOSE abc\n", "Invalid containerPort: abc"),
        ("FROM base\nSTOPSIGNAL FOO\n", "Invalid signal: FOO"),
        (
            "FROM base\nENV X=\"a\n",
            "failed to process \"\\\"a\": unexpected end of statement while looking for matching double-quote",
        ),
        (
            "FROM base\nRUN [\"nosuch\"]\n",
            "exec: \"nosuch\": executable file not found in $PATH",
        ),
        (
            "FROM base\nRUN --security=insecure true\n",
            "RUN --security is not supported",
        ),
        (
            "FROM base\nRUN --mount=type=secret,target=/x true\n",
            "type=secret is not supported: it needs BuildKit",
        ),
        (
            "FROM base\nRUN --mount=type=bind,target=/x,bogus=1 true\n",
            "unexpected key \"bogus\"",
        ),
        (
            "FROM base\nRUN --mount=type=bind,source=../..,from=x,target=/x true\n",
            "from is not supported",
        ),
    ] {
        builder.refused(dockerfile, sentence);
    }
    let output = builder.plain("FROM base\nRUN echo out; echo err >&2; exit 9\n", &[]);
    assert_eq!(output.code, 9);
    assert_eq!(
        output.stderr,
        "The command '/bin/sh -c echo out; echo err >&2; exit 9' returned a non-zero code: 9\n"
    );
    assert!(output.stdout.contains("\nout\n"), "{output:?}");
    assert!(output.stdout.contains("\x1b[91merr\n\x1b[0m"), "{output:?}");
    // As with Docker, what has failed can be looked at; not where it was asked to go.
    let host = &builder.host;
    let left = host.ok(&["ps", "-aq"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    for id in left.lines() {
        host.ok(&["rm", id]);
    }
    let output = builder.plain("FROM base\nRUN exit 9\n", &["--force-rm"]);
    assert!(
        output.code == 9 && output.stdout.contains("Removing intermediate"),
        "{output:?}"
    );
    // A quiet build tells what it has kept back when it fails.
    let quiet = builder.plain("FROM base\nRUN echo loud; exit 9\n", &["-q", "--force-rm"]);
    assert!(
        quiet.code == 9 && quiet.stdout.contains("loud"),
        "{quiet:?}"
    );
    let quiet = builder.built("FROM base\nLABEL a=b\n", &["-q"]);
    assert!(quiet.starts_with("sha256:") && quiet.len() == 72, "{quiet}");
    builder.assert_clean();
}

#[test]
fn here_documents_are_scripts_and_files() {
    let builder = Builder::new("build-heredoc");
    let dockerfile = "FROM base\nARG name=value\nRUN <<EOF\necho first >/run\necho $name >>/run\nEOF\n\
        RUN cat <<A >/two && cat <<-'B' >>/two\n$name\nA\n\tno $name\nB\n\
        RUN <<EOF\n#!/bin/cat\ntext\nEOF\n\
        COPY <<file <<-\"raw\" /docs/\n\"$name\" \\$name\nfile\n\t$name\nraw\nCOPY --chmod=600 <<x /x\nX\nx\n";
    let output = builder.built(dockerfile, &["-t", "here"]);
    assert!(output.contains("\n#!/bin/cat\ntext\n"), "{output}");
    assert_eq!(
        builder.in_image("here", "cat /run /two /docs/file /docs/raw; stat -c %a /docs/raw /x; ls /dev/pipes 2>&1 | grep -c No"),
        "first\nvalue\nvalue\nno $name\n\"value\" $name\n$name\n644\n600\n1"
    );
}

#[test]
fn mounts_of_a_step_leave_nothing_in_the_image() {
    let builder = Builder::new("build-mounts");
    let dir = builder.context("context", &[("in/file", "content"), ("Dockerfile", "FROM base\n\
        RUN --mount=type=bind,source=in,target=/mnt cat /mnt/file >/copied; ! touch /mnt/x 2>/dev/null\n\
        RUN --mount=type=tmpfs,target=/scratch echo gone >/scratch/file\n\
        RUN --mount=type=cache,target=/cache cat /cache/count >/before 2>/dev/null; echo 1 >>/cache/count\n\
        RUN --network=none ip link | grep -c : >/links\n")]);
    let build = || {
        let output = builder
            .host
            .tug(&["build", "--no-cache", "-t", "mounts", &dir]);
        assert_eq!(output.code, 0, "{output:?}");
    };
    build();
    build();
    let script = "cat /copied; echo; ls -A /mnt /scratch /cache; cat /before";
    assert_eq!(
        builder.in_image("mounts", script),
        "content\n/cache:\n\n/mnt:\n\n/scratch:\n1"
    );
    let reclaimed = builder.host.http("POST", "/build/prune", "");
    assert_eq!(
        reclaimed.body,
        "{\"CachesDeleted\":null,\"SpaceReclaimed\":4}"
    );
    build();
    assert_eq!(builder.in_image("mounts", "cat /before"), "");
}

#[test]
fn the_context_is_what_is_not_ignored() {
    let builder = Builder::new("build-ignore");
    let dir = builder.context(
        "context",
        &[
            ("Dockerfile", "FROM base\nCOPY . /c\n"),
            (
                ".dockerignore",
                "# all\n**\n!src\nsrc/**/*.o\n!keep/it\nDockerfile\n",
            ),
            ("src/a.c", "c"),
            ("src/deep/a.o", "o"),
            ("src/deep/b.c", "b"),
            ("keep/it", "k"),
            ("keep/not", "n"),
            ("secret", "s"),
            ("Other", "FROM base\nCOPY . /c\n"),
            ("Other.dockerignore", "src\n"),
        ],
    );
    let list = |image: &str| builder.in_image(image, "cd /c; find . -type f | sort");
    builder.host.ok(&["build", "-t", "one", &dir]);
    assert_eq!(list("one"), "./keep/it\n./src/a.c\n./src/deep/b.c");
    builder
        .host
        .ok(&["build", "-t", "two", "-f", &format!("{dir}/Other"), &dir]);
    assert!(list("two").contains("./secret") && !list("two").contains("./src"));

    // A Dockerfile from elsewhere is not seen in the context.
    let elsewhere = builder.host.write("Elsewhere", "FROM base\nCOPY . /c\n");
    builder
        .host
        .ok(&["build", "-t", "three", "-f", &elsewhere, &dir]);
    assert_eq!(list("three"), "./keep/it\n./src/a.c\n./src/deep/b.c");
    let output = builder.host.tug_with_input(
        &["build", "-t", "four", "-f", "-", &dir],
        b"FROM base\nCOPY src /c\n",
    );
    assert_eq!(
        (output.code, list("four").as_str()),
        (0, "./a.c\n./deep/b.c"),
        "{output:?}"
    );

    // CVE-2022-4122.
    std::fs::remove_file(format!("{dir}/.dockerignore")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", format!("{dir}/.dockerignore")).unwrap();
    let output = builder.host.tug(&["build", &dir]);
    output.assert_refused(1, ".dockerignore is a link that leads out of the context");
    builder
        .host
        .tug(&["build", "/no/where"])
        .assert_refused(1, "unable to prepare context: path \"/no/where\" not found");
}

/// Links of a context and of an image lead where they would inside, and never to this machine.
#[test]
fn no_path_of_a_build_leads_out() {
    let builder = Builder::new("build-escape");
    let canary = builder.host.write("canary", "canary");
    let outside = builder.host.make_dir("outside");
    let dir = builder.context("context", &[("ok/file", "fine")]);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, format!("{dir}/{name}")).unwrap();
    };
    link(&canary, "abs");
    link(&format!("../../../../../..{canary}"), "up");
    link("/ok", "inside");
    let build = |dockerfile: &str, args: &[&str]| {
        let words = [&["build", "-f", "-"], args, &[&dir]].concat();
        builder.host.tug_with_input(&words, dockerfile.as_bytes())
    };
    for source in ["abs", "up", "../canary", "/../canary", "ok/../../canary"] {
        let output = build(&format!("FROM base\nCOPY {source} /x\n"), &[]);
        assert_eq!(output.code, 1, "{source}: {output:?}");
    }
    for dockerfile in [
        format!(
            "FROM base\nRUN ln -s {outside} /link; ln -s ../../..{outside} /rel\nCOPY inside/file /link/\nCOPY ok /rel/\nADD ok/file /link/sub/\nWORKDIR /link/desk\nWORKDIR ../../..{outside}/w\n"
        ),
        format!("FROM scratch\nCOPY . /\nCOPY ok/file /abs\nCOPY ok/file ../../..{outside}/x\n"),
        format!(
            "FROM base\nRUN --mount=type=bind,source=../../../../../..{outside},target=/m true || true\n"
        ),
    ] {
        let output = build(&dockerfile, &["-t", "escape"]);
        assert!(
            output.code == 0 || dockerfile.contains("mount"),
            "{dockerfile}: {output:?}"
        );
        assert_eq!(
            std::fs::read_dir(&outside).unwrap().count(),
            0,
            "{dockerfile}"
        );
        assert_eq!(std::fs::read_to_string(&canary).unwrap(), "canary");
    }
    // Links in a directory are copied as links; named, they stand for what they lead to.
    let output = build("FROM base\nCOPY . /c/\nCOPY inside /d/\n", &["-t", "links"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(
        builder.in_image(
            "links",
            &format!("readlink /c/abs; cat /d/file; ls {canary} 2>&1 | grep -c No")
        ),
        format!("{canary}\nfine1")
    );
    // A step has the defences of any container.
    let output = build(
        "FROM base\nRUN grep -E 'Cap(Inh|Eff|Bnd|Amb)|Seccomp:' /proc/self/status\n",
        &["--no-cache"],
    );
    let ran = builder.host.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        "base",
        "grep",
        "-E",
        "Cap(Inh|Eff|Bnd|Amb)|Seccomp:",
        "/proc/self/status",
    ]);
    assert!(output.stdout.contains(&ran), "{ran}\n{output:?}");
    builder.assert_clean();
}

#[test]
fn archives_come_by_standard_input_and_from_the_web() {
    let builder = Builder::new("build-stdin");
    let mut archive = Archive::new();
    archive.file("Dockerfile", 0o644, "FROM base\nCOPY x /x\n");
    archive.file("x", 0o644, "from tar");
    let bytes = archive.finish();
    for bytes in [bytes.clone(), crate::harness::rootfs::gzip(&bytes)] {
        let output = builder
            .host
            .tug_with_input(&["build", "-t", "tar", "-"], &bytes);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(builder.in_image("tar", "cat /x"), "from tar");
    }

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let served = bytes.clone();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let count = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..count]).into_owned();
            let body: &[u8] = match head.split(' ').nth(1) {
                Some("/context.tar") => &served,
                Some("/Dockerfile") => b"FROM base\nRUN echo web >/x\n",
                Some("/dir/file.tar?q=1") => &served,
                _ => {
                    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
                    continue;
                }
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    builder
        .host
        .ok(&["build", "-t", "remote", &format!("{url}/context.tar")]);
    assert_eq!(builder.in_image("remote", "cat /x"), "from tar");
    builder
        .host
        .ok(&["build", "-t", "remote", &format!("{url}/Dockerfile")]);
    assert_eq!(builder.in_image("remote", "cat /x"), "web");
    builder
        .host
        .tug(&["build", "https://localhost/x.git"])
        .assert_refused(1, "git is not supported");

    // What comes from the network is not unpacked.
    let digest = sha256(&bytes);
    let dockerfile =
        format!("FROM base\nADD --checksum=sha256:{digest} {url}/dir/file.tar?q=1 /got/\n");
    builder.built(&dockerfile, &["-t", "added"]);
    assert_eq!(
        builder.in_image("added", "stat -c '%n %a %Y' /got/*"),
        "/got/file.tar 600 1445412480"
    );
    builder.refused(
        &dockerfile.replace(&digest, &"0".repeat(64)),
        "ADD failed: digest mismatch",
    );
    builder.refused(
        &format!("FROM base\nADD {url}/nope /x\n"),
        "the server answered 404",
    );
    builder.refused(
        &format!("FROM base\nADD {url}/ /x/\n"),
        "cannot determine filename for source",
    );
    builder.assert_clean();
}

#[test]
fn a_client_that_goes_takes_its_build_along() {
    let builder = Builder::new("build-cancel");
    let dockerfile = "FROM base\nRUN echo begun; sleep 1000\n";
    let dir = builder.context("context", &[("Dockerfile", dockerfile)]);
    let mut client: Running = builder.host.spawn(&["build", &dir]);
    client.until_stdout("the step runs", |text| text.contains("\nbegun\n"));
    client.child.kill().unwrap();
    client.child.wait().unwrap();
    eventually("its container has gone", || {
        builder.host.ok(&["ps", "-aq"]).is_empty()
    });
    eventually("its directory has gone", || {
        std::fs::read_dir(builder.host.data_root().join("build"))
            .unwrap()
            .count()
            == 0
    });
}

#[test]
fn what_a_killed_engine_leaves_of_a_build_is_swept() {
    let mut builder = Builder::new("build-crash");
    let dir = builder.context(
        "context",
        &[("Dockerfile", "FROM base\nRUN echo begun; sleep 1000\n")],
    );
    let client = builder.host.spawn(&["build", &dir]);
    client.until_stdout("the step runs", |text| text.contains("\nbegun\n"));
    let id = builder.host.ok(&["ps", "-q", "--no-trunc"]);
    builder.host.note_container(&id);
    builder.host.kill_engine();
    builder.host.start_engine();
    builder.assert_clean();
}

#[test]
fn triggers_run_in_the_images_that_are_built_on_theirs() {
    let builder = Builder::new("build-onbuild");
    builder.built(
        "FROM base\nONBUILD RUN echo one >/one\nONBUILD COPY <<EOF /two\ntwo\nEOF\n",
        &["-t", "parent"],
    );
    assert_eq!(builder.in_image("parent", "ls /one 2>&1 | grep -c No"), "1");
    let output = builder.built("FROM parent\nLABEL x=y\n", &["-t", "child"]);
    assert!(
        output.contains("# Executing 2 build triggers\n"),
        "{output}"
    );
    assert_eq!(builder.in_image("child", "cat /one /two"), "one\ntwo");
    assert_eq!(
        builder
            .host
            .ok(&["inspect", "-f", "{{json .Config.OnBuild}}", "child"]),
        "[]"
    );
}

#[test]
fn limits_and_hosts_are_those_of_the_steps() {
    let builder = Builder::new("build-limits");
    let dockerfile = "FROM base\nRUN grep own /etc/hosts; ulimit -n; df /dev/shm | tail -n 1\n";
    let output = builder.built(
        dockerfile,
        &[
            "--add-host",
            "own:1.2.3.4",
            "--ulimit",
            "nofile=99",
            "--shm-size",
            "8m",
        ],
    );
    assert!(
        output.contains("1.2.3.4\town\n99\n") && output.contains(" 8192 "),
        "{output}"
    );
    let iid = builder.host.dir.join("iid").display().to_string();
    let output = builder.built(
        "FROM base\nLABEL a=b\n",
        &["--iidfile", &iid, "--label", "c=d \"e\""],
    );
    let id = std::fs::read_to_string(&iid).unwrap();
    assert!(
        output.contains(&format!("built {}", &id[7..19])),
        "{output} {id}"
    );
    assert_eq!(
        builder
            .host
            .ok(&["inspect", "-f", "{{json .Config.Labels}}", &id]),
        r#"{"a":"b","c":"d \"e\""}"#
    );
    for flag in [
        "--secret=id=x",
        "--squash",
        "--output=x",
        "--ssh=default",
        "--cache-to=x",
    ] {
        builder
            .plain("FROM base\n", &[flag])
            .assert_refused(1, "without BuildKit");
    }
    let reply = builder.host.http("POST", "/build?version=2", "");
    assert_eq!(reply.status, 400);
}

#[test]
fn a_missing_base_is_pulled() {
    if !registry::is_installed() {
        return skip("build: pull", "no docker-registry");
    }
    let registry = registry::Registry::start();
    let builder = Builder::new("build-pull");
    let name = format!("{}/base:1", registry.host());
    builder.host.ok(&["tag", "base", &name]);
    builder.host.ok(&["push", "-q", &name]);
    builder.host.ok(&["rmi", &name, "base"]);
    let dockerfile = format!("FROM {name}\nRUN echo pulled\n");
    let output = builder.built(&dockerfile, &[]);
    assert!(output.contains("\npulled\n"), "{output}");
    builder.built(&dockerfile, &["--pull"]);
    let output = builder.plain(&format!("FROM {}/nope\n", registry.host()), &[]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("nope"), "{output:?}");
}

#[test]
fn the_real_client_builds_here_without_buildkit() {
    let Some(docker) = docker_client() else {
        return skip("build: docker", "no docker client in PATH");
    };
    let builder = Builder::new("build-docker");
    let dir = all(&builder);
    let build = |args: &[&str]| {
        let words = [&["build"], args, &[&dir]].concat();
        let mut command = builder.host.client(&docker, &words);
        command.env("DOCKER_BUILDKIT", "0");
        run(command, b"", PATIENCE)
    };
    let output = build(&["--build-arg", "FOO=baz", "-t", "all"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.contains("Successfully tagged all:latest\n"),
        "{output:?}"
    );
    assert_eq!(
        builder
            .host
            .ok(&["inspect", "-f", "{{json .Config}}", "all"]),
        CONFIG
    );
    // Ours finds its steps in the cache: both send the same files.
    let own = builder.host.tug(&["build", "--build-arg", "FOO=baz", &dir]);
    assert_eq!(own.stdout.matches("Using cache").count(), 22, "{own:?}");
    std::fs::write(format!("{dir}/Dockerfile"), "FROM base\nRUN exit 7\n").unwrap();
    let failed = build(&["--force-rm"]);
    assert_eq!(failed.code, 7, "{failed:?}");
    assert!(
        failed
            .stderr
            .contains("The command '/bin/sh -c exit 7' returned a non-zero code: 7"),
        "{failed:?}"
    );
}
