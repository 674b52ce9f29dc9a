/* A publisher's installer in small, for tests. It tells the ways of being called apart by their arguments:
       TargetDir=FOLDER    Python's bundle: FOLDER\python.exe (this program) and the registration of PEP 514
       /DIR=FOLDER         Inno Setup: FOLDER\bin\openssl.exe and FOLDER\unins000.exe (this program)
       /install            Visual C++'s bundle: its version in the registry
       /uninstall          takes the registration of Python or Visual C++ away, whichever is in this program's name
   With other arguments it does nothing: msiexec, or a bundle's copy of itself.
   C:\nbserver-test\installer-codes.txt has the exit codes of the coming calls, one a line; without a line: 0.
   Each call is a line of C:\nbserver-test\installer-calls.txt: its command line.
   The variable NBSERVER_TEST_INSTALLER names another folder for both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define VC "SOFTWARE\\Microsoft\\VisualStudio\\14.0\\VC\\Runtimes\\x64"
#define PYTHON "SOFTWARE\\Python\\PythonCore\\3.11"

static FILE *open_file(const char *name, const char *mode)
{
    char path[1024];
    const char *folder = getenv("NBSERVER_TEST_INSTALLER");
    snprintf(path, sizeof path, "%s\\%s", folder ? folder : "C:\\nbserver-test", name);
    return fopen(path, mode);
}

static int next_code(void)
{
    char rest[4096] = "", line[64];
    int code = 0;
    FILE *file = open_file("installer-codes.txt", "r");
    if (!file)
        return 0;
    if (fgets(line, sizeof line, file))
        code = atoi(line);
    while (fgets(line, sizeof line, file))
        strcat(rest, line);
    fclose(file);
    file = open_file("installer-codes.txt", "w");
    fputs(rest, file);
    fclose(file);
    return code;
}

static void text(const char *key, const char *name, const char *value)
{
    RegSetKeyValueA(HKEY_LOCAL_MACHINE, key, name, REG_SZ, value, (DWORD)strlen(value) + 1);
}

static void number(const char *name, DWORD value)
{
    RegSetKeyValueA(HKEY_LOCAL_MACHINE, VC, name, REG_DWORD, &value, sizeof value);
}

static void put(const char *folder, const char *below, const char *name)
{
    char self[1024], path[1024];
    GetModuleFileNameA(NULL, self, sizeof self);
    CreateDirectoryA(folder, NULL);
    snprintf(path, sizeof path, "%s\\%s", folder, below);
    CreateDirectoryA(path, NULL);
    snprintf(path, sizeof path, "%s\\%s%s%s", folder, below, *below ? "\\" : "", name);
    CopyFileA(self, path, FALSE);
}

int main(int count, char **words)
{
    FILE *calls = open_file("installer-calls.txt", "a");
    fprintf(calls, "%s\n", GetCommandLineA());
    fclose(calls);
    char self[1024];
    GetModuleFileNameA(NULL, self, sizeof self);
    int code = next_code();
    if (code && code != 3010 && code != 1641)
        return code;
    for (int i = 1; i < count; i++) {
        if (!strncmp(words[i], "TargetDir=", 10)) {
            put(words[i] + 10, "", "python.exe");
            text(PYTHON, "Version", "3.11.9");
            text(PYTHON "\\InstallPath", NULL, words[i] + 10);
        } else if (!strncmp(words[i], "/DIR=", 5)) {
            put(words[i] + 5, "bin", "openssl.exe");
            put(words[i] + 5, "", "unins000.exe");
        } else if (!strcmp(words[i], "/install")) {
            number("Installed", 1);
            number("Major", 14);
            number("Minor", 44);
            number("Bld", 35211);
        } else if (!strcmp(words[i], "/uninstall")) {
            RegDeleteTreeA(HKEY_LOCAL_MACHINE, strstr(self, "vc_redist") ? VC : "SOFTWARE\\Python");
        }
    }
    return code;
}
